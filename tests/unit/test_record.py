import csv
import errno
import json
import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image

from jade.config import Config
from jade.entries import Entry
from jade.errors import CheckpointError, ConfigError
from jade.record import Record, new_run_id


@pytest.fixture
def record(tmp_path):
    record = Record(tmp_path / "experiments", "abc")
    record.create()
    return record


@pytest.fixture
def config():
    values = {
        "model": {"class": "Löss", "params": {"lr": 1e-4, "layers": [8, 4], "name": None, "flag": True}},
        "data": {"train": {"class": "Digits", "params": {}}},
        "eval": {},
        "arch_impl": "a.py",
        "seed": 42,
        "epochs": 3,
    }
    return Config(
        values, {}, {section: f"# {section}: $DATA_ROOT\n" for section in ("model", "data", "eval")}
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    project = tmp_path / "project"
    project.mkdir()
    return project


def rows(record):
    return [json.loads(line) for line in (record.directory / "metrics.jsonl").read_text().splitlines()]


def status(record):
    return json.loads((record.directory / "status.json").read_text())


def figure(width=2.0):
    found = Figure(figsize=(width, 1.0))
    found.subplots().plot([1, 2])
    return found


# The folder


def test_a_run_id_is_eight_small_letters_and_digits_and_new_each_time():
    ids = {new_run_id() for _ in range(100)}

    assert len(ids) == 100
    assert all(len(name) == 8 and name.isalnum() and name == name.lower() for name in ids)


def test_nothing_is_written_before_the_folder_is_made(tmp_path):
    Record(tmp_path / "experiments")

    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_made_below_a_root_that_need_not_be_there(tmp_path):
    record = Record(tmp_path / "a b" / "[experiments]")

    record.create()

    assert record.directory == tmp_path / "a b" / "[experiments]" / record.run_id
    assert record.directory.is_dir()


def test_the_folder_stays_where_it_is_when_the_present_folder_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = Record(Path("experiments"), "abc")
    (tmp_path / "elsewhere").mkdir()

    monkeypatch.chdir(tmp_path / "elsewhere")

    assert record.directory == tmp_path / "experiments" / "abc"


def test_two_runs_at_once_get_two_folders(tmp_path):
    def begin(_):
        record = Record(tmp_path)
        record.create()
        record.log([Entry("loss", "scalar", 1.0)], 1, 0)
        return record

    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(begin, range(16)))

    assert len({record.directory for record in records}) == 16
    assert [len(rows(record)) for record in records] == [1] * 16


def test_a_run_id_that_is_taken_is_refused_and_the_old_run_left_alone(record):
    record.update_status("finished")

    with pytest.raises(CheckpointError, match="There is a run 'abc' in .*experiments already") as caught:
        Record(record.directory.parent, "abc").create()

    assert "at: WANDB_RUN_ID" in str(caught.value)
    assert "--resume auto continues it." in str(caught.value)
    assert status(record)["status"] == "finished"


def test_a_run_id_that_is_taken_names_the_flag_it_came_from(record):
    with pytest.raises(CheckpointError, match="at: --run_id"):
        Record(record.directory.parent, "abc", "--run_id").create()


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "a.b", "ä", "x" * 129, "a\n"], ids=repr)
def test_a_run_id_that_is_no_name_of_a_folder_is_refused(tmp_path, name):
    with pytest.raises(ConfigError) as caught:
        Record(tmp_path, name, "--run_id")

    assert str(caught.value) == (
        f"{name!r} is no run id; it has letters, digits, '-' and '_' only.\n  at: --run_id"
    )


def test_a_root_that_is_a_file_is_told(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(CheckpointError, match=r"file is no folder\.\n  at: --experiments-root"):
        Record(tmp_path / "file").create()


def test_a_root_below_a_file_is_told(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(CheckpointError, match=r"cannot be made: Not a directory\.\n  at: --experiments-root"):
        Record(tmp_path / "file" / "experiments").create()


def test_a_run_that_did_not_come_to_be_leaves_nothing(record):
    record.update_status("running")

    record.remove()

    assert not record.directory.parent.exists()


def test_a_run_that_did_not_come_to_be_leaves_the_other_runs_alone(record, tmp_path):
    other = Record(record.directory.parent, "other")
    other.create()

    record.remove()

    assert other.directory.is_dir()


def test_a_root_that_was_there_stays(tmp_path):
    record = Record(tmp_path)
    record.create()

    record.remove()

    assert list(tmp_path.iterdir()) == []


# What the run is


def test_the_resolved_configuration_and_the_raw_files_are_written(record, config, project):
    record.describe(config, project, ["python", "train.py"], {"device": "cpu"})

    assert yaml.safe_load((record.directory / "config.yml").read_text(encoding="utf-8")) == config.values
    assert (record.directory / "yaml/model.yml").read_text() == "# model: $DATA_ROOT\n"
    assert (record.directory / "yaml/eval.yml").read_text() == "# eval: $DATA_ROOT\n"


def test_the_environment_names_command_packages_and_facts(record, config, project):
    record.describe(config, project, ["python", "train.py", "--seed", "1"], {"device": "cpu"})

    known = json.loads((record.directory / "environment.json").read_text())

    assert known["command"] == ["python", "train.py", "--seed", "1"]
    assert known["device"] == "cpu"
    assert known["git_commit"] is None
    assert "torch" in known["packages"]


def test_the_files_that_describe_a_run_are_listed_in_order(record, config, project):
    record.describe(config, project, [], {})
    record.log([Entry("loss", "scalar", 1.0), Entry("note", "text", "x")], 1, 0)

    listed = [str(path.relative_to(record.directory)) for path in record.files()]

    assert listed == ["config.yml", "environment.json", "yaml/data.yml", "yaml/eval.yml", "yaml/model.yml"]


def test_code_that_cannot_be_copied_is_told_as_an_error_of_the_disk(record, config, project, monkeypatch):
    (project / "train.py").write_text("")
    module = ModuleType("of_the_project")
    module.__file__ = str(project / "train.py")
    monkeypatch.setitem(sys.modules, "of_the_project", module)
    (record.directory / "code").mkdir()
    (record.directory / "code.previous").write_text("in the way")

    with pytest.raises(CheckpointError, match=r"code cannot be written: Not a directory"):
        record.describe(config, project, [], {})


def test_code_that_was_copied_before_is_kept_beside_the_new_copy(record, project, monkeypatch):
    module = ModuleType("of_the_project")
    module.__file__ = str(project / "train.py")
    monkeypatch.setitem(sys.modules, "of_the_project", module)

    for text in ("first", "second", "third"):
        (project / "train.py").write_text(text)
        record.copy_code(project)

    assert (record.directory / "code/train.py").read_text() == "third"
    assert (record.directory / "code.previous/train.py").read_text() == "second"


def test_the_configuration_is_written_last_for_it_says_that_all_else_is_there(
    record, config, project, monkeypatch
):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("jade.snapshot.copy_code", fail)

    with pytest.raises(CheckpointError, match="code cannot be written"):
        record.describe(config, project, [], {})

    assert (record.directory / "environment.json").is_file()
    assert not (record.directory / "config.yml").exists()


def test_facts_of_the_environment_can_be_changed_and_the_others_stay(record, config, project):
    record.describe(config, project, ["python"], {"device": "cpu", "schedule": {"time_limit": "1h"}})

    record.update_environment(schedule={"time_limit": "2h"})

    known = json.loads((record.directory / "environment.json").read_text())
    assert (known["command"], known["device"], known["schedule"]) == (
        ["python"],
        "cpu",
        {"time_limit": "2h"},
    )


# Metrics


def test_each_log_is_a_row_with_its_point_of_the_training(record):
    record.log([Entry("TestAccuracy", "scalar", 0.5), Entry("a/b", "scalar", 1.0)], 10, 1)
    record.log([Entry("loss", "scalar", 2.0)], 10, 1)

    first, second = rows(record)

    assert (first["row"], first["iterations"], first["epochs"]) == (0, 10, 1)
    assert first["metrics"] == {"TestAccuracy": 0.5, "a/b": 1.0}
    assert "files" not in first
    assert (second["row"], second["metrics"]) == (1, {"loss": 2.0})
    assert second["time"] >= first["time"]
    assert second["runtime"] >= first["runtime"] >= 0


def test_a_row_is_on_disk_when_log_returns(record):
    record.log([Entry("loss", "scalar", 1.0)], 1, 0)

    assert len(rows(record)) == 1


def test_values_that_are_not_finite_are_kept(record):
    entries = [
        Entry("a", "scalar", math.nan),
        Entry("b", "scalar", math.inf),
        Entry("c", "scalar", -math.inf),
    ]
    record.log(entries, 1, 0)

    metrics = rows(record)[0]["metrics"]

    assert math.isnan(metrics["a"])
    assert (metrics["b"], metrics["c"]) == (math.inf, -math.inf)


def test_a_full_disk_is_told(record):
    (record.directory / "metrics.jsonl").symlink_to("/dev/full")

    with pytest.raises(
        CheckpointError, match=rf"metrics\.jsonl cannot be written: {os.strerror(errno.ENOSPC)}"
    ):
        record.log([Entry("loss", "scalar", 1.0)], 1, 0)


def test_a_media_folder_that_cannot_be_made_is_told(record):
    (record.directory / "media").write_text("in the way")

    with pytest.raises(CheckpointError, match="media/note cannot be made"):
        record.log([Entry("note", "text", "x")], 1, 0)


# Media


def test_a_picture_is_a_png_named_after_entry_and_iteration(record):
    files = record.log([Entry("Reconstruction", "figure", figure())], 40, 2)

    path = record.directory / "media/Reconstruction/40.png"
    assert files == {"Reconstruction": path}
    assert rows(record)[0]["files"] == {"Reconstruction": "media/Reconstruction/40.png"}
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > image.height > 50


NAMES = ["a/b", "a%2Fb", "a b", "a?b", "a", "ä", "~", "a\\b", 'a"b']


def test_names_that_differ_give_files_that_differ_inside_the_folder(record):
    files = record.log([Entry(name, "text", name) for name in NAMES], 1, 0)

    assert len({path.resolve() for path in files.values()}) == len(NAMES)
    assert {name: path.read_text(encoding="utf-8") for name, path in files.items()} == {
        name: name for name in NAMES
    }
    media = record.directory / "media"
    assert all(path.resolve().parent.parent == media for path in files.values())


def test_one_image_is_stored_pixel_by_pixel(record):
    pixels = np.arange(64 * 40 * 3, dtype=np.uint8).reshape(64, 40, 3)

    path = record.log([Entry("x", "images", [pixels])], 1, 0)["x"]

    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_images_are_stored_as_one_sheet_of_at_most_eight_in_a_row(record):
    pictures = [np.full((40, 60), index * 10, dtype=np.uint8) for index in range(11)]

    path = record.log([Entry("x", "images", pictures)], 1, 0)["x"]

    with Image.open(path) as image:
        assert image.size == (8 * 60 + 7 * 2, 2 * 40 + 2)
        assert image.getpixel((0, 0)) == (0, 0, 0)
        assert image.getpixel((62, 0)) == (10, 10, 10)
        assert image.getpixel((0, 42)) == (80, 80, 80)
        assert image.getpixel((60, 0)) == (255, 255, 255)


def test_grey_coloured_and_transparent_images_of_several_sizes_share_a_sheet(record):
    pictures = [
        np.zeros((20, 20), dtype=np.uint8),
        np.full((50, 30, 3), 200, dtype=np.uint8),
        np.full((10, 40, 4), 9, dtype=np.uint8),
    ]

    path = record.log([Entry("x", "images", pictures)], 1, 0)["x"]

    with Image.open(path) as image:
        assert image.size == (3 * 40 + 2 * 2, 50)


def test_small_images_are_enlarged_by_a_whole_factor(record):
    pixels = np.array([[0, 255], [128, 64]], dtype=np.uint8)

    path = record.log([Entry("x", "images", [pixels, pixels])], 1, 0)["x"]

    with Image.open(path) as image:
        assert image.size == (2 * 64 + 2, 64)
        assert [image.getpixel(at)[0] for at in ((31, 31), (32, 31), (31, 32), (32, 32))] == [0, 255, 128, 64]


def test_a_histogram_counts_its_values_and_those_that_are_not_finite(record):
    values = np.array([0.0, 0.5, 0.5, 1.0, np.nan, np.inf])

    path = record.log([Entry("x", "histogram", values)], 1, 0)["x"]

    known = json.loads(path.read_text())
    assert (sum(known["counts"]), known["not_finite"]) == (4, 2)
    assert (known["edges"][0], known["edges"][-1]) == (0.0, 1.0)
    assert len(known["edges"]) == len(known["counts"]) + 1


@pytest.mark.parametrize(
    "values",
    [np.array([np.nan]), np.array([True, False]), np.array([3, 3, 3]), np.array([1e-300, 1e300])],
    ids=["nothing finite", "booleans", "all equal", "far apart"],
)
def test_odd_histograms_are_stored_too(record, values):
    path = record.log([Entry("x", "histogram", values)], 1, 0)["x"]

    known = json.loads(path.read_text())
    assert sum(known["counts"]) + known["not_finite"] == values.size


def test_a_table_is_a_csv_file_that_keeps_every_cell(record):
    cells = [["a,b", 1.5], ['say "no"', None], ["two\nlines", True]]

    path = record.log([Entry("x", "table", (["näme", "value"], cells))], 1, 0)["x"]

    with path.open(newline="", encoding="utf-8") as file:
        found = list(csv.reader(file))
    assert found == [["näme", "value"], ["a,b", "1.5"], ['say "no"', ""], ["two\nlines", "True"]]


def test_a_text_is_stored_as_it_is(record):
    path = record.log([Entry("x", "text", "two\nlines ✓")], 1, 0)["x"]

    assert path == record.directory / "media/x/1.txt"
    assert path.read_text(encoding="utf-8") == "two\nlines ✓"


# Status


def test_the_status_says_run_process_and_times(record):
    record.update_status("running")

    found = status(record)
    assert (found["run"], found["status"], found["pid"]) == ("abc", "running", os.getpid())
    assert found["updated"] >= found["started"]


def test_the_status_keeps_what_it_knew_and_takes_what_is_new(record):
    record.update_status("running", iterations=1, epochs=0)
    began = status(record)["started"]

    record.update_status("finished", iterations=2, metrics={"loss": {"last": 1.0}})

    found = status(record)
    assert (found["status"], found["iterations"], found["epochs"]) == ("finished", 2, 0)
    assert (found["started"], found["metrics"]) == (began, {"loss": {"last": 1.0}})


def test_the_status_is_replaced_whole(record):
    record.update_status("running")
    record.update_status("finished")

    assert [path.name for path in record.directory.iterdir()] == ["status.json"]


def test_a_status_that_cannot_be_written_is_told(record):
    (record.directory / "status.json").mkdir()

    with pytest.raises(CheckpointError, match=r"status\.json cannot be written"):
        record.update_status("running")


# A run that goes on


def logged(record, count):
    """Log so many rows, each with a text."""
    for number in range(count):
        record.log([Entry("loss", "scalar", number), Entry("note", "text", str(number))], 10 * number, number)


def going_on(record):
    return Record(record.directory.parent, record.run_id)


def test_rows_after_the_checkpoint_are_cut_off_and_made_again_under_their_numbers(record):
    logged(record, 5)

    after = going_on(record)
    kept = after.continue_from(3, 0.0)
    cut = rows(record)
    after.log([Entry("loss", "scalar", 7.0)], 30, 3)

    assert kept == cut
    assert [row["metrics"]["loss"] for row in kept] == [0, 1, 2]
    assert [(row["row"], row["metrics"]["loss"]) for row in rows(record)] == [(0, 0), (1, 1), (2, 2), (3, 7)]


def test_pictures_and_tables_of_rows_that_are_cut_off_are_deleted_and_the_others_stay(record):
    logged(record, 3)

    going_on(record).continue_from(2, 0.0)

    assert sorted(path.name for path in (record.directory / "media/note").iterdir()) == ["0.txt", "10.txt"]


def test_a_file_that_a_kept_row_shows_as_well_stays(record):
    record.log([Entry("note", "text", "first")], 10, 0)
    record.log([Entry("note", "text", "second")], 10, 0)

    going_on(record).continue_from(1, 0.0)

    assert (record.directory / "media/note/10.txt").is_file()


def test_no_file_outside_of_the_runs_folder_is_deleted_whatever_a_row_says(record, tmp_path):
    for name in ("above", "absolute"):
        (tmp_path / name).touch()
    files = {"a": "../../above", "b": str(tmp_path / "absolute")}
    row = {"row": 0, "iterations": 0, "epochs": 0, "metrics": {}, "files": files}
    record.metrics_path.write_text(json.dumps(row) + "\n")

    going_on(record).continue_from(0, 0.0)

    assert (tmp_path / "above").exists()
    assert (tmp_path / "absolute").exists()


def test_a_run_whose_checkpoint_counts_every_row_loses_none(record):
    logged(record, 3)
    before = record.metrics_path.read_bytes()

    going_on(record).continue_from(3, 0.0)

    assert record.metrics_path.read_bytes() == before


@pytest.mark.parametrize("torn", ['{"row": 2, "iter', "\n", "\0\0\0", "\xff{", '{"row": 2}'], ids=repr)
def test_a_last_line_that_was_torn_is_cut_off(record, torn, caplog):
    logged(record, 2)
    with record.metrics_path.open("a", encoding="latin-1") as file:
        file.write(torn)

    after = going_on(record)
    kept = after.continue_from(2, 0.0)
    after.log([Entry("loss", "scalar", 5.0)], 20, 2)

    assert [row["row"] for row in kept] == [0, 1]
    assert [row["row"] for row in rows(record)] == [0, 1, 2]
    assert caplog.records == []


def test_rows_that_are_missing_or_unreadable_are_told(record, caplog):
    logged(record, 2)
    first, second = record.metrics_path.read_text().splitlines()
    record.metrics_path.write_text(f"{first}\n{second[:20]}\n")

    after = going_on(record)
    kept = after.continue_from(4, 0.0)
    after.log([Entry("loss", "scalar", 5.0)], 20, 2)

    assert [row["row"] for row in kept] == [0]
    assert [line.getMessage() for line in caplog.records] == [
        f"{record.metrics_path} holds 1 of the 4 rows that were logged before the checkpoint."
    ]
    assert json.loads(record.metrics_path.read_text().splitlines()[-1])["row"] == 4


def test_a_run_that_had_logged_nothing_goes_on_without_a_file_of_rows(record, caplog):
    assert going_on(record).continue_from(0, 0.0) == []

    assert list(record.directory.iterdir()) == []
    assert caplog.records == []


def test_the_runtime_goes_on_and_leaves_out_the_time_between_two_processes(record):
    after = going_on(record)

    after.continue_from(0, 1000.0)
    after.log([Entry("loss", "scalar", 5.0)], 20, 2)

    assert 1000 <= after.runtime < 1060
    assert 1000 <= rows(record)[0]["runtime"] < 1060


def test_the_status_keeps_when_the_run_was_begun_and_where_it_was_interrupted(record):
    record.update_status("running", iterations=3)
    began = status(record)["started"]

    for iterations in (3, 7):
        after = going_on(record)
        after.continue_from(0, 1000.0)
        after.interrupted(iterations=iterations, was="running")
        after.update_status("running")

    found = status(record)
    assert found["started"] == began
    assert [(one["iterations"], one["was"]) for one in found["interruptions"]] == [
        (3, "running"),
        (7, "running"),
    ]
    assert all(one["continued"] >= began for one in found["interruptions"])


@pytest.mark.parametrize("text", ["", "{", "[1]", "\0\0"], ids=repr)
def test_a_status_that_was_torn_is_begun_anew(record, text):
    (record.directory / "status.json").write_text(text)

    after = going_on(record)
    after.continue_from(0, 0.0)
    after.update_status("running")

    assert status(record)["status"] == "running"


def test_rows_that_cannot_be_cut_are_told(record):
    logged(record, 2)
    (record.directory / ".metrics.jsonl.tmp").mkdir()

    with pytest.raises(CheckpointError, match=r"metrics\.jsonl cannot be written: Is a directory"):
        going_on(record).continue_from(1, 0.0)


def test_starting_over_leaves_nothing_to_go_on_from_and_keeps_damaged_checkpoints_aside(
    record, config, project
):
    record.describe(config, project, [], {})
    logged(record, 2)
    record.update_status("failed")
    names = ("model.pt", "model.previous.pt", "checkpoint_3.pt")
    for name in (*names, "init.pt", "mine.txt"):
        (record.directory / name).write_text(name)
    (record.directory / "wandb").mkdir()

    after = going_on(record)
    after.start_over()
    after.log([Entry("loss", "scalar", 5.0)], 20, 2)

    left = {path.name for path in record.directory.iterdir()}
    assert left == {"metrics.jsonl", "mine.txt", "wandb", *(f"{name}.damaged" for name in names)}
    assert (record.directory / "model.pt.damaged").read_text() == "model.pt"
    assert [row["row"] for row in rows(record)] == [0]


def test_starting_over_in_an_empty_folder_is_fine(record):
    record.start_over()

    assert list(record.directory.iterdir()) == []
