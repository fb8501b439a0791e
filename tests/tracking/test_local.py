import pytest

from jade.entries import Entry
from jade.tracking.local import LocalTracker
from tests.tracking.contract import FLAT, TrackerContract


class TestLocalTracker(TrackerContract):
    @pytest.fixture
    def make(self):
        return LocalTracker

    def test_the_folder_is_all_there_is(self, tracker):
        tracker.start(FLAT)
        tracker.log([Entry("loss", "scalar", 1.0)], 1, 0)

        assert [path.name for path in tracker.directory.iterdir()] == ["metrics.jsonl"]
        assert tracker.way_to_it() is None
