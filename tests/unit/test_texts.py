"""Values, times and names as people read them."""

import math

import pytest

from jade.texts import ago, moment, plain, size


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s ago"),
        (42.4, "42 s ago"),
        (90, "2 min ago"),
        (5399, "90 min ago"),
        (7200, "2 h ago"),
        (86400, "24 h ago"),
        (12 * 86400, "12 days ago"),
    ],
)
def test_a_time_ago_has_one_unit(seconds, said):
    assert ago(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (512, "512 B"), (1234, "1.23 kB"), (999_600, "1 MB"), (5e9, "5 GB"), (2e15, "2e+03 TB")],
)
def test_a_size_has_the_digits_that_count(count, said):
    assert size(count) == said


def test_a_moment_is_written_in_utc():
    assert moment(0.0) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("time", [math.nan, math.inf, 1e300])
def test_a_moment_beyond_the_calendar_is_written_as_it_is(time):
    assert moment(time) == str(time)


def test_what_a_terminal_would_obey_is_shown_instead():
    assert plain("a\x1b[31mb\n\u202ec ü 語") == "a\\x1b[31mb\\n\\u202ec ü 語"
