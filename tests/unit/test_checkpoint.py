import errno
import os
import pickle
import resource
from collections import defaultdict, namedtuple
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from toys import Toy, made

from jade import checkpoint
from jade.checkpoint import Checkpoints
from jade.errors import CheckpointError, ContractError

FULL = os.strerror(errno.ENOSPC)
Pair = namedtuple("Pair", ["x", "y"])


class Level(IntEnum):
    LOW = 1


class Custom:
    pass


@pytest.fixture
def trainer():
    return made(Toy)


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


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def iterations(path):
    return checkpoint.read(path)["iterations"]


def storing(value):
    trainer = made(Toy)
    trainer.kept = value
    trainer.add_attribute_to_store("kept")
    return trainer


def told(trainer):
    return [str(fault).splitlines()[0] for fault in checkpoint.faults(trainer)]


# Writing


def test_numbered_checkpoints_are_kept_under_their_iteration(checkpoints, trainer):
    for trainer.iterations in (9, 10, 100):
        checkpoints.save_numbered(trainer)

    assert names(checkpoints.folder) == ["checkpoint_10.pt", "checkpoint_100.pt", "checkpoint_9.pt"]
    assert [iterations(path) for path in checkpoints.numbered()] == [9, 10, 100]


def test_only_files_named_as_checkpoints_are_listed(checkpoints, trainer):
    checkpoints.save_backup(trainer)
    for name in ("checkpoint_x.pt", "checkpoint_3.pt.part", "my_checkpoint_3.pt", ".checkpoint_3.pt.7.tmp"):
        (checkpoints.folder / name).touch()

    assert checkpoints.numbered() == []


def test_a_backup_is_replaced_and_the_one_before_it_kept(checkpoints, trainer):
    for trainer.iterations in (1, 2, 3):
        path = checkpoints.save_backup(trainer)

    assert names(checkpoints.folder) == ["model.previous.pt", "model.pt"]
    assert path == checkpoints.folder / "model.pt"
    assert iterations(path) == 3
    assert iterations(checkpoints.folder / "model.previous.pt") == 2


def test_on_a_file_system_without_hard_links_the_previous_backup_is_kept_too(
    checkpoints, trainer, monkeypatch
):
    def refuse(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)

    for trainer.iterations in (1, 2, 3):
        checkpoints.save_backup(trainer)

    assert names(checkpoints.folder) == ["model.previous.pt", "model.pt"]
    assert iterations(checkpoints.folder / "model.previous.pt") == 2


def test_a_file_system_that_cannot_sync_folders_still_keeps_checkpoints(checkpoints, trainer, monkeypatch):
    sync = os.fsync

    def sync_files_only(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync_files_only)

    path = checkpoints.save_backup(trainer)

    assert iterations(path) == 0


def test_a_checkpoint_is_readable_without_jade_and_without_running_code(checkpoints, trainer):
    trainer.iterations, trainer.epochs = 7, 2

    state = torch.load(checkpoints.save_numbered(trainer), weights_only=True)

    assert (state["iterations"], state["epochs"]) == (7, 2)
    assert torch.equal(state["attributes"]["net"]["weight"], trainer.net.weight)


@pytest.mark.parametrize("save", [Checkpoints.save_backup, Checkpoints.save_numbered])
def test_a_full_disk_leaves_no_trace_and_is_told(checkpoints, trainer, full_disk, save):
    full_disk()

    with pytest.raises(CheckpointError, match=rf"{checkpoints.folder}/.*\.pt cannot be written: {FULL}\."):
        save(checkpoints, trainer)

    assert names(checkpoints.folder) == []


def test_a_full_disk_leaves_the_backups_before_it_whole(checkpoints, trainer, full_disk):
    for trainer.iterations in (1, 2):
        checkpoints.save_backup(trainer)
    trainer.iterations = 3
    full_disk()

    with pytest.raises(CheckpointError):
        checkpoints.save_backup(trainer)

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


def test_a_write_that_breaks_off_in_the_middle_tells_the_reason_of_the_file_system(checkpoints, trainer):
    checkpoints.save_backup(trainer)
    trainer.net.large = nn.Parameter(torch.zeros(100_000))

    with (
        files_no_larger_than(50_000),
        pytest.raises(CheckpointError, match=f"cannot be written: {os.strerror(errno.EFBIG)}"),
    ):
        checkpoints.save_backup(trainer)

    assert names(checkpoints.folder) == ["model.pt"]
    assert "large" not in checkpoint.read(checkpoints.folder / "model.pt")["attributes"]["net"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path, trainer):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(CheckpointError, match=rf"cannot be written: {os.strerror(errno.ENOTDIR)}"):
        Checkpoints(tmp_path / "file").save_backup(trainer)


def test_a_users_own_exception_while_writing_leaves_the_old_file_and_no_other(checkpoints, trainer):
    checkpoints.save_backup(trainer)

    class Own(nn.Linear):
        def state_dict(self, *_, **__):
            raise ZeroDivisionError

    trainer.net = Own(1, 1)

    with pytest.raises(ZeroDivisionError):
        checkpoints.save_backup(trainer)

    assert names(checkpoints.folder) == ["model.pt"]


def test_a_state_that_could_not_be_read_back_is_not_written(checkpoints):
    trainer = storing(None)
    checkpoints.save_backup(trainer)
    trainer.kept = {"best": [Custom()]}

    with pytest.raises(ContractError, match=r"'kept' of Toy cannot be stored: kept\['best'\]\[0\] is a"):
        checkpoints.save_backup(trainer)

    assert names(checkpoints.folder) == ["model.pt"]
    assert checkpoint.read(checkpoints.folder / "model.pt")["attributes"]["kept"] is None


# What can be stored


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        1.5,
        "text",
        torch.arange(3),
        nn.Parameter(torch.ones(2)),
        [1, ("a", 2.0)],
        {"a": [torch.ones(1)], 3: None},
        torch.float16,
        torch.device("cpu"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values_are_stored_and_come_back(checkpoints, value):
    trainer = storing(value)
    assert told(trainer) == []

    found = checkpoint.read(checkpoints.save_backup(trainer))["attributes"]["kept"]

    assert repr(found) == repr(value)


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), np.int64(3)], ids=repr)
@pytest.mark.parametrize("kept", [lambda number: number, lambda number: {"best": [number]}])
def test_a_numpy_number_is_a_number(checkpoints, number, kept):
    trainer = storing(kept(number))
    assert told(trainer) == []

    found = checkpoint.read(checkpoints.save_backup(trainer))["attributes"]["kept"]

    assert found == kept(number)


def test_a_scheduler_that_was_given_a_numpy_number_comes_back(checkpoints):
    trainer = made(Toy)
    trainer.kept = lr_scheduler.ReduceLROnPlateau(trainer.opt)
    trainer.add_attribute_to_store("kept")
    trainer.kept.step(np.float64(0.5))

    found = checkpoint.read(checkpoints.save_backup(trainer))["attributes"]["kept"]

    assert found["best"] == 0.5


SCHEDULERS = [
    lambda opt: lr_scheduler.StepLR(opt, 2),
    lambda opt: lr_scheduler.MultiStepLR(opt, [1, 2]),
    lambda opt: lr_scheduler.LambdaLR(opt, lambda epoch: 1.0),
    lambda opt: lr_scheduler.CosineAnnealingLR(opt, 5),
    lambda opt: lr_scheduler.OneCycleLR(opt, 0.1, total_steps=5),
    lambda opt: lr_scheduler.ReduceLROnPlateau(opt),
    lambda opt: lr_scheduler.SequentialLR(opt, [lr_scheduler.ConstantLR(opt)] * 2, [1]),
]


@pytest.mark.parametrize(
    "make",
    [
        *SCHEDULERS,
        lambda opt: torch.amp.GradScaler("cpu"),
        lambda opt: nn.ModuleDict({"a": nn.ModuleList([nn.BatchNorm1d(2)])}),
        lambda opt: torch.optim.LBFGS(nn.Linear(1, 1).parameters()),
    ],
)
def test_what_torch_offers_with_a_state_dict_is_stored_and_comes_back(checkpoints, make):
    # A scheduler that is made says that the optimizer has not yet stepped; it has.
    trainer = made(Toy)
    trainer.train_step(torch.ones(3, 1))
    trainer.kept = make(trainer.opt)
    trainer.add_attribute_to_store("kept")
    assert told(trainer) == []

    found = checkpoint.read(checkpoints.save_backup(trainer))["attributes"]["kept"]

    assert repr(found) == repr(trainer.kept.state_dict())


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (lambda: None, r"kept is a builtins\.function"),
        (Custom(), r"kept is a .*\.Custom"),
        ([1, Custom()], r"kept\[1\] is a .*\.Custom"),
        ({"a": [1, {"b": Custom()}]}, r"kept\['a'\]\[1\]\['b'\] is a .*\.Custom"),
        ([nn.Linear(1, 1)], r"kept\[0\] is a torch\.nn\.modules\.linear\.Linear"),
        ({1, 2}, r"kept is a builtins\.set"),
        (np.zeros(3), r"kept is a numpy\.ndarray"),
        (defaultdict(list), r"kept is a collections\.defaultdict"),
        (Pair(1, 2), r"kept is a .*\.Pair"),
        ({Custom(): 1}, "kept has keys that are neither text nor numbers"),
        (Level.LOW, r"kept is a .*\.Level"),
    ],
    ids=[
        "lambda",
        "object",
        "in a list",
        "deep",
        "network in a list",
        "set",
        "array",
        "defaultdict",
        "named tuple",
        "key",
        "enum",
    ],
)
def test_what_cannot_be_read_back_safely_is_named_with_its_path(value, path):
    (fault,) = checkpoint.faults(storing(value))

    assert isinstance(fault, ContractError)
    with pytest.raises(ContractError, match=rf"The attribute 'kept' of Toy cannot be stored: {path}\."):
        raise fault
    assert "Storable are networks, optimizers" in str(fault)


def test_an_attribute_that_is_not_there_is_left_to_the_trainer_to_tell():
    trainer = made(Toy)
    trainer.add_attribute_to_store("missing")

    assert told(trainer) == []


# Reading


def test_a_trainer_is_put_back_with_networks_optimizer_values_and_counters(checkpoints):
    trained = storing({"best": 0.5})
    trained.train_step(torch.ones(3, 1))
    trained.iterations, trained.epochs = 5, 1
    fresh = storing(None)

    checkpoint.restore(fresh, checkpoint.read(checkpoints.save_backup(trained)))

    assert torch.equal(fresh.net.weight, trained.net.weight)
    assert str(fresh.opt.state_dict()) == str(trained.opt.state_dict())
    assert (fresh.kept, fresh.iterations, fresh.epochs) == ({"best": 0.5}, 5, 1)


def test_a_restored_parameter_is_the_one_that_the_optimizer_trains(checkpoints):
    path = checkpoints.save_backup(storing(nn.Parameter(torch.ones(2))))
    fresh = storing(nn.Parameter(torch.zeros(2)))
    optimizer = torch.optim.SGD([fresh.kept], lr=1.0)

    checkpoint.restore(fresh, checkpoint.read(path))

    assert fresh.kept.tolist() == [1.0, 1.0]
    assert optimizer.param_groups[0]["params"][0] is fresh.kept


def test_attributes_that_are_in_one_of_the_two_only_are_named(checkpoints, trainer):
    path = checkpoints.save_backup(storing(1))
    trainer.encoder = nn.Linear(1, 1)
    trainer.add_attribute_to_store("encoder")

    with pytest.raises(CheckpointError, match="The checkpoint does not fit Toy") as caught:
        checkpoint.restore(trainer, checkpoint.read(path))

    assert "missing in the checkpoint: encoder" in str(caught.value)
    assert "only in the checkpoint: kept" in str(caught.value)


def test_a_missing_checkpoint_is_told(tmp_path):
    with pytest.raises(CheckpointError, match=rf"There is no checkpoint {tmp_path}/model\.pt"):
        checkpoint.read(tmp_path / "model.pt")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def plain_pickle(value, path):
    with path.open("wb") as file:
        pickle.dump(value, file)


@pytest.mark.parametrize("dump", [torch.save, plain_pickle])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path, dump):
    crafted, touched = tmp_path / "model.pt", tmp_path / "touched"
    dump({"format": 1, "attributes": Trap(touched)}, crafted)

    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.read(crafted)

    assert not touched.exists()


@pytest.mark.parametrize("keep", [0, 1, 0.5, 0.99], ids=["empty", "a byte", "half", "nearly all"])
def test_a_file_that_breaks_off_is_told(checkpoints, trainer, keep):
    path = checkpoints.save_backup(trainer)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])

    with pytest.raises(CheckpointError, match=rf"The checkpoint {path} cannot be read"):
        checkpoint.read(path)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=rf"The checkpoint {tmp_path} cannot be read"):
        checkpoint.read(tmp_path)


@pytest.mark.parametrize(
    "state",
    [[1], {"state_dict": {}}, {"format": "pt"}, {"format": 1}],
    ids=["a list", "other keys", "a format that is text", "nothing but a format"],
)
def test_a_torch_file_of_another_program_is_told(tmp_path, state):
    torch.save(state, tmp_path / "model.pt")

    with pytest.raises(CheckpointError, match=r"model\.pt is no checkpoint of JADE"):
        checkpoint.read(tmp_path / "model.pt")


def test_a_newer_format_is_refused(tmp_path, trainer):
    checkpoint.write(tmp_path / "model.pt", {**checkpoint.state_of(trainer), "format": checkpoint.FORMAT + 1})

    with pytest.raises(CheckpointError, match="has the format 2; this version of JADE reads up to 1"):
        checkpoint.read(tmp_path / "model.pt")
