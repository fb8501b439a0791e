import errno
import hashlib
import logging
import os
import pickle
import random
import resource
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from jade import checkpoint, checkpoint_index
from jade.checkpoint import BACKUP, PREVIOUS, Checkpoints
from jade.errors import CheckpointError

FULL = os.strerror(errno.ENOSPC)


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path)


@pytest.fixture
def full_disk(monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, FULL)

    def fill():
        monkeypatch.setattr(os, "fsync", fail)

    return fill


def state(iterations=0, **attributes):
    attributes = attributes or {"net": {"weight": torch.full((2, 3), float(iterations))}}
    return {"format": 1, "iterations": iterations, "epochs": iterations // 4, "attributes": attributes}


def names(folder):
    """Every file of a folder but the list of the checkpoints."""
    return sorted(path.name for path in folder.iterdir() if path.name != checkpoint_index.NAME)


def iterations(path):
    return checkpoint.read(path)["iterations"]


def flip(path, position, bit=0):
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def damage(*paths):
    for path in paths:
        flip(path, path.stat().st_size // 2)


def resealed(path):
    """Give a file the end that a checkpoint has, with the right digest of what is in it."""
    content = path.read_bytes()
    # The last two bytes of an archive are the length of its comment.
    body = content[:-2] if content.startswith(b"PK") else content
    comment = b"jade-sha256:" + hashlib.sha256(body).hexdigest().encode()
    path.write_bytes(body + len(comment).to_bytes(2, "little") + comment)


# Writing


def test_numbered_checkpoints_are_kept_under_their_iteration(checkpoints):
    for number in (9, 10, 100):
        checkpoints.save_numbered(state(number))

    assert names(checkpoints.folder) == ["checkpoint_10.pt", "checkpoint_100.pt", "checkpoint_9.pt"]
    assert [iterations(path) for path in checkpoints.numbered()] == [9, 10, 100]


def test_only_files_named_as_checkpoints_are_listed(checkpoints):
    checkpoints.save_backup(state())
    for name in ("checkpoint_x.pt", "checkpoint_3.pt.part", "my_checkpoint_3.pt", ".checkpoint_3.pt.7.tmp"):
        (checkpoints.folder / name).touch()

    assert checkpoints.numbered() == []


def test_all_numbered_checkpoints_are_kept_if_nobody_says_how_many(checkpoints):
    for number in range(1, 6):
        checkpoints.save_numbered(state(number))

    assert checkpoints.drop_surplus() == []
    assert len(checkpoints.numbered()) == 5


@pytest.mark.parametrize(("kept", "left"), [(1, [11]), (2, [10, 11]), (3, [9, 10, 11]), (9, [9, 10, 11])])
def test_of_the_numbered_checkpoints_the_newest_are_kept_and_the_backups_do_not_count(tmp_path, kept, left):
    checkpoints = Checkpoints(tmp_path, kept)
    for number in (9, 10, 11):
        checkpoints.save_numbered(state(number))
        checkpoints.save_backup(state(number))

    dropped = checkpoints.drop_surplus()

    assert [path.name for path in dropped] == [f"checkpoint_{n}.pt" for n in (9, 10, 11) if n not in left]
    assert [iterations(path) for path in checkpoints.numbered()] == left
    assert {BACKUP, PREVIOUS} <= set(names(tmp_path))


def test_a_backup_is_replaced_and_the_one_before_it_kept(checkpoints):
    for number in (1, 2, 3):
        path = checkpoints.save_backup(state(number))

    assert names(checkpoints.folder) == ["model.previous.pt", "model.pt"]
    assert path == checkpoints.folder / "model.pt"
    assert iterations(path) == 3
    assert iterations(checkpoints.folder / "model.previous.pt") == 2


def test_on_a_file_system_without_hard_links_the_previous_backup_is_kept_too(checkpoints, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)

    for number in (1, 2, 3):
        checkpoints.save_backup(state(number))

    assert names(checkpoints.folder) == ["model.previous.pt", "model.pt"]
    assert iterations(checkpoints.folder / "model.previous.pt") == 2


def test_a_file_system_that_cannot_sync_folders_still_keeps_checkpoints(checkpoints, monkeypatch):
    sync = os.fsync

    def sync_files_only(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync_files_only)

    path = checkpoints.save_backup(state())

    assert iterations(path) == 0


def test_a_file_is_whole_on_disk_before_it_gets_its_name_and_the_name_is_on_disk_after(
    checkpoints, monkeypatch
):
    synced = []
    sync = os.fsync

    def note(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path.suffix, names(checkpoints.folder).count("model.pt")))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)

    checkpoints.save_backup(state())

    assert synced[0] == (".tmp", 0)
    assert synced[-1] == ("", 1)


def test_a_checkpoint_is_readable_without_jade_and_without_running_code(checkpoints):
    path = checkpoints.save_numbered(state(7))

    found = torch.load(path, weights_only=True)

    assert (found["iterations"], found["epochs"]) == (7, 1)
    assert torch.equal(found["attributes"]["net"]["weight"], torch.full((2, 3), 7.0))


def test_a_checkpoint_is_a_whole_zip_archive_for_other_programs(checkpoints):
    path = checkpoints.save_numbered(state(7))

    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"jade-sha256:")


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (1000, 300)], ids=str)
def test_tensors_of_every_size_come_back_bit_by_bit(tmp_path, shape):
    tensor = torch.rand(shape)

    checkpoint.write(tmp_path / "model.pt", state(1, x=tensor, y=[tensor.double(), tensor.bfloat16()]))

    found = checkpoint.read(tmp_path / "model.pt")["attributes"]
    assert torch.equal(found["x"], tensor)
    assert torch.equal(found["y"][0], tensor.double())
    assert torch.equal(found["y"][1], tensor.bfloat16())


@pytest.mark.parametrize("save", [Checkpoints.save_backup, Checkpoints.save_numbered])
def test_a_full_disk_leaves_no_trace_and_is_told(checkpoints, full_disk, save):
    full_disk()

    with pytest.raises(CheckpointError, match=rf"{checkpoints.folder}/.*\.pt cannot be written: {FULL}\."):
        save(checkpoints, state())

    assert names(checkpoints.folder) == []


def test_a_full_disk_leaves_the_backups_before_it_whole(checkpoints, full_disk):
    for number in (1, 2):
        checkpoints.save_backup(state(number))
    full_disk()

    with pytest.raises(CheckpointError):
        checkpoints.save_backup(state(3))

    assert names(checkpoints.folder) == ["model.previous.pt", "model.pt"]
    assert iterations(checkpoints.folder / "model.pt") == 2
    assert iterations(checkpoints.folder / "model.previous.pt") == 1


@contextmanager
def files_no_larger_than(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 1, 100, 50_000, 399_000])
def test_a_write_that_breaks_off_in_the_middle_tells_the_reason_of_the_file_system(checkpoints, size):
    checkpoints.save_backup(state(1))

    with (
        files_no_larger_than(size),
        pytest.raises(CheckpointError, match=f"cannot be written: {os.strerror(errno.EFBIG)}"),
    ):
        checkpoints.save_backup(state(2, large=torch.zeros(100_000)))

    assert names(checkpoints.folder) == ["model.pt"]
    assert iterations(checkpoints.folder / "model.pt") == 1


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from jade.checkpoint import Checkpoints

left = 0

def dying(function):
    def call(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return call

def write_three(folder):
    folder.mkdir()
    checkpoints = Checkpoints(folder)
    state = {"format": 1, "epochs": 0, "attributes": {"x": torch.zeros(10)}}
    for iterations in (1, 2, 3):
        checkpoints.save_backup({**state, "iterations": iterations})
        (folder / "told").write_text(str(iterations))

for where, name in ((os, "fsync"), (os, "link"), (Path, "replace"), (Path, "unlink"), (torch, "save")):
    setattr(where, name, dying(getattr(where, name)))
for calls in range(40):
    child = os.fork()
    if not child:
        left = calls
        write_three(Path(sys.argv[1]) / str(calls))
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_process_killed_anywhere_in_a_write_leaves_the_newest_whole_backup(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=True, timeout=60)

    endings = set()
    for folder in tmp_path.iterdir():
        told = int((folder / "told").read_text()) if (folder / "told").exists() else 0
        found = Checkpoints(folder).newest()
        newest = found[1]["iterations"] if found else 0
        assert newest in (told, told + 1)
        endings.add((told, newest))
    assert endings == {(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3)}


def test_what_a_killed_process_left_half_written_is_cleared_away(checkpoints):
    checkpoints.save_backup(state(1))
    (checkpoints.folder / ".model.pt.999999999.tmp").write_text("half")

    Checkpoints(checkpoints.folder).save_backup(state(2))

    assert names(checkpoints.folder) == ["model.previous.pt", "model.pt"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(CheckpointError, match=rf"cannot be written: {os.strerror(errno.ENOTDIR)}"):
        Checkpoints(tmp_path / "file").save_backup(state())


def test_another_exception_while_writing_leaves_the_old_file_and_no_other(checkpoints):
    checkpoints.save_backup(state())

    class Unpicklable:
        def __reduce__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        checkpoints.save_backup(state(1, own=Unpicklable()))

    assert names(checkpoints.folder) == ["model.pt"]


def test_an_interruption_while_writing_leaves_the_old_file_and_no_other(checkpoints, monkeypatch):
    checkpoints.save_backup(state(1))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)

    with pytest.raises(KeyboardInterrupt):
        checkpoints.save_backup(state(2))

    assert names(checkpoints.folder) == ["model.pt"]
    assert iterations(checkpoints.folder / "model.pt") == 1


# Reading


def test_a_missing_checkpoint_is_told(tmp_path):
    with pytest.raises(CheckpointError, match=rf"There is no checkpoint {tmp_path}/model\.pt"):
        checkpoint.read(tmp_path / "model.pt")


def test_tensors_of_the_cpu_stay_there_whatever_the_device(tmp_path):
    checkpoint.write(tmp_path / "model.pt", state(1))

    found = checkpoint.read(tmp_path / "model.pt", torch.device("meta"))

    assert found["attributes"]["net"]["weight"].device.type == "cpu"


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def plain_pickle(value, path):
    with path.open("wb") as file:
        pickle.dump(value, file)


def old_torch_file(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


def by_jade(value, path):
    checkpoint.write(path, value)


@pytest.mark.parametrize("is_sealed", [False, True], ids=["as it is", "with a right digest"])
@pytest.mark.parametrize("dump", [torch.save, plain_pickle, old_torch_file, by_jade])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path, dump, is_sealed):
    crafted, touched = tmp_path / "model.pt", tmp_path / "touched"
    dump(state(1, x=Trap(touched)), crafted)
    if is_sealed and dump is not by_jade:
        resealed(crafted)

    with pytest.raises(CheckpointError, match=r"is damaged, or none|cannot be read: it is damaged, or none"):
        checkpoint.read(crafted)
    with pytest.raises(CheckpointError, match="can be read"):
        Checkpoints(tmp_path).newest()

    assert not touched.exists()


def test_a_file_with_the_right_digest_is_read_up_to_what_would_run(tmp_path):
    # The crafted files above are refused for what is in them, not for how they end.
    torch.save(state(3), tmp_path / "model.pt")
    resealed(tmp_path / "model.pt")

    assert iterations(tmp_path / "model.pt") == 3


@pytest.mark.parametrize("keep", [0, 1, 0.5, 0.99], ids=["empty", "a byte", "half", "nearly all"])
def test_a_file_that_breaks_off_is_told(checkpoints, keep):
    path = checkpoints.save_backup(state())
    size = path.stat().st_size
    cut(path, keep if isinstance(keep, int) else int(size * keep))

    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(path)

    assert str(caught.value) == f"The checkpoint {path} is damaged, or none: it does not end as one does."


def test_a_file_that_breaks_off_anywhere_is_never_read(checkpoints):
    path = checkpoints.save_backup(state())
    content = path.read_bytes()

    for size in [*range(len(content) - 120, len(content)), *range(0, len(content) - 120, 37)]:
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match="is damaged"):
            checkpoint.read(path)


def test_a_file_with_any_bit_flipped_is_never_read(checkpoints):
    path = checkpoints.save_backup(state())
    content = path.read_bytes()
    places = random.Random(0)

    for position in [*range(len(content) - 160, len(content)), *range(0, len(content) - 160, 29)]:
        flipped = bytearray(content)
        flipped[position] ^= 1 << places.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match="is damaged"):
            checkpoint.read(path)

    path.write_bytes(content)
    assert iterations(path) == 0


@pytest.mark.parametrize("more", [b"\0", b"more", b"\n"], ids=repr)
def test_a_file_that_something_was_added_to_is_told(checkpoints, more):
    path = checkpoints.save_backup(state())
    path.write_bytes(path.read_bytes() + more)

    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoint.read(path)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=rf"The checkpoint {tmp_path} cannot be read"):
        checkpoint.read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        [1],
        {"state_dict": {}},
        {"format": "pt"},
        {"format": 1},
        {**state(), "format": "1"},
        torch.zeros(3),
    ],
    ids=["a list", "other keys", "format is text", "nothing but a format", "all but the format", "a tensor"],
)
def test_a_torch_file_of_another_program_is_told(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    resealed(tmp_path / "model.pt")

    with pytest.raises(CheckpointError, match=r"model\.pt is no checkpoint of JADE"):
        checkpoint.read(tmp_path / "model.pt")


def test_a_torch_file_without_a_digest_is_told(tmp_path):
    torch.save(state(), tmp_path / "model.pt")

    with pytest.raises(CheckpointError, match=r"is damaged, or none: it does not end as one does"):
        checkpoint.read(tmp_path / "model.pt")


def test_a_newer_format_is_refused_with_its_number(tmp_path):
    checkpoint.write(tmp_path / "model.pt", {**state(), "format": checkpoint.FORMAT + 1})

    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(tmp_path / "model.pt")

    assert str(caught.value) == (f"{tmp_path}/model.pt has the format 2; this version of JADE reads up to 1.")


# Which one is gone on from


def saved(checkpoints, *, previous=None, backup=None, numbered=()):
    for number in numbered:
        checkpoints.save_numbered(state(number))
    for number in (previous, backup):
        if number is not None:
            checkpoints.save_backup(state(number))
    folder = checkpoints.folder
    return {
        "backup": folder / BACKUP,
        "previous": folder / PREVIOUS,
        **{number: folder / f"checkpoint_{number}.pt" for number in numbered},
    }


def chosen(checkpoints):
    path, found = checkpoints.newest()
    return path.name, found["iterations"]


def warned(caplog):
    return [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]


def test_without_any_there_is_none(checkpoints):
    assert checkpoints.newest() is None


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"backup": 8, "previous": 4}, ("model.pt", 8)),
        ({"backup": 8, "previous": 4, "numbered": (3, 6, 8)}, ("model.pt", 8)),
        ({"backup": 8, "previous": 4, "numbered": (3, 9, 12)}, ("checkpoint_12.pt", 12)),
        ({"numbered": (9, 10)}, ("checkpoint_10.pt", 10)),
    ],
    ids=["backup", "older numbered", "newer numbered", "numbered only"],
)
def test_the_newest_is_the_backup_unless_a_numbered_one_is_newer(checkpoints, there, expected, caplog):
    saved(checkpoints, **there)

    assert chosen(checkpoints) == expected
    assert warned(caplog) == []


def test_the_previous_backup_alone_is_taken_without_a_word(checkpoints, caplog):
    # So a process leaves it that is killed between two renamings, where there are no hard links.
    saved(checkpoints, previous=4, backup=8)["backup"].unlink()

    assert chosen(checkpoints) == ("model.previous.pt", 4)
    assert warned(caplog) == []


def test_a_damaged_backup_falls_back_to_the_one_before_with_a_warning_that_names_both(checkpoints, caplog):
    paths = saved(checkpoints, previous=4, backup=8, numbered=(3,))
    damage(paths["backup"])

    assert chosen(checkpoints) == ("model.previous.pt", 4)
    assert warned(caplog) == [
        f"The checkpoint {paths['backup']} is damaged: it is not what was written. It is left out;"
        f" {paths['previous']} is used instead."
    ]


def test_after_a_damaged_backup_a_numbered_one_that_is_newer_than_the_one_before_is_taken(
    checkpoints, caplog
):
    paths = saved(checkpoints, previous=4, backup=8, numbered=(3, 6))
    damage(paths["backup"])

    assert chosen(checkpoints) == ("checkpoint_6.pt", 6)
    (line,) = warned(caplog)
    assert str(paths["backup"]) in line
    assert line.endswith(f"It is left out; {paths[6]} is used instead.")


def test_two_damaged_backups_fall_back_to_the_newest_whole_numbered_one(checkpoints, caplog):
    paths = saved(checkpoints, previous=4, backup=8, numbered=(1, 2, 3))
    damage(paths["backup"], paths["previous"], paths[3])

    assert chosen(checkpoints) == ("checkpoint_2.pt", 2)
    (line,) = warned(caplog)
    assert all(str(paths[name]) in line for name in ("backup", "previous", 3, 2))


def test_a_damaged_numbered_one_that_is_newer_is_left_out_with_a_warning(checkpoints, caplog):
    paths = saved(checkpoints, backup=8, numbered=(9, 10))
    damage(paths[10], paths[9])

    assert chosen(checkpoints) == ("model.pt", 8)
    (line,) = warned(caplog)
    assert all(str(paths[name]) in line for name in (9, 10, "backup"))


def test_if_all_are_damaged_the_error_lists_what_was_tried(checkpoints):
    paths = saved(checkpoints, previous=4, backup=8, numbered=(1, 2))
    damage(*paths.values())
    cut(paths[1], 10)

    with pytest.raises(CheckpointError) as caught:
        checkpoints.newest()

    told = str(caught.value)
    assert told.startswith(f"No checkpoint in {checkpoints.folder} can be read.\n")
    assert told.splitlines()[1:] == [
        f"  The checkpoint {paths['backup']} is damaged: it is not what was written.",
        f"  The checkpoint {paths['previous']} is damaged: it is not what was written.",
        f"  The checkpoint {paths[2]} is damaged: it is not what was written.",
        f"  The checkpoint {paths[1]} is damaged, or none: it does not end as one does.",
    ]


def test_wherever_the_newest_is_damaged_the_one_before_is_found(checkpoints, caplog):
    paths = saved(checkpoints, previous=4, backup=8)
    content = paths["backup"].read_bytes()
    places = random.Random(1)

    for number in range(60):
        place = places.randrange(len(content))
        damaged = bytearray(content)
        damaged[place] ^= 1 << places.randrange(8)
        paths["backup"].write_bytes(damaged if number % 2 else content[:place])
        assert chosen(checkpoints) == ("model.previous.pt", 4)

    assert len(warned(caplog)) == 60


def test_a_damaged_backup_never_takes_the_place_of_the_whole_one_before_it(checkpoints):
    paths = saved(checkpoints, previous=4, backup=8)
    damage(paths["backup"])

    checkpoints.newest()
    checkpoints.save_backup(state(10))
    damage(paths["backup"])

    assert chosen(checkpoints) == ("model.previous.pt", 4)


def test_what_is_put_aside_is_found_no_more_and_is_still_there(checkpoints):
    paths = saved(checkpoints, previous=4, backup=8, numbered=(3,))

    checkpoints.put_aside()

    assert checkpoints.newest() is None
    assert names(checkpoints.folder) == sorted(f"{path.name}.damaged" for path in paths.values())


def test_a_lazy_layer_that_was_never_called_is_read_back(tmp_path):
    layer = torch.nn.LazyLinear(2)

    checkpoint.write(tmp_path / "c.pt", state(net=layer.state_dict()))

    found = checkpoint.read(tmp_path / "c.pt")["attributes"]["net"]
    assert isinstance(found["weight"], torch.nn.parameter.UninitializedParameter)
