"""Files of a trainer's state: written whole or not at all, read without executing anything.

Which state that is (`state_of`), how it is put back (`restore`), and the folder's names: numbered checkpoints
are kept, the backup is replaced and its predecessor kept beside it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jade.errors import CheckpointError, ContractError, JadeError
from jade.trainer import Trainer

FORMAT = 1
_KEYS = {"format", "iterations", "epochs", "attributes"}
BACKUP = "model.pt"
PREVIOUS = "model.previous.pt"

_NUMBERED = re.compile(r"checkpoint_(\d+)\.pt")
_PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    torch.Tensor,
    torch.dtype,
    torch.device,
    torch.Size,
)


class Checkpoints:
    """The checkpoints in one folder.

    Args:
        folder: where they are; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save_numbered(self, trainer: Trainer) -> Path:
        """Write `checkpoint_<iterations>.pt`, which is kept, and return its path."""
        path = self.folder / f"checkpoint_{trainer.iterations}.pt"
        write(path, state_of(trainer))
        return path

    def save_backup(self, trainer: Trainer) -> Path:
        """Replace `model.pt`, keep the one before as `model.previous.pt`, and return the path."""
        path = self.folder / BACKUP
        with _replacing(path) as temporary:
            _dump(temporary, state_of(trainer))
            if path.exists():
                _keep_as(path, self.folder / PREVIOUS)
        return path

    def numbered(self) -> list[Path]:
        """Return the numbered checkpoints, oldest first."""
        found = {
            int(match[1]): path
            for path in self.folder.glob("*.pt")
            if (match := _NUMBERED.fullmatch(path.name))
        }
        return [found[iterations] for iterations in sorted(found)]


def state_of(trainer: Trainer) -> dict[str, Any]:
    """Return what a checkpoint of `trainer` holds; nothing in it needs user code to be read.

    Raises:
        ContractError: if an attribute has become something that could not be read back.
    """
    attributes = {name: _state(value) for name, value in trainer.stored.items()}
    for name, value in attributes.items():
        if wrong := _unstorable(value, name):
            raise _not_storable(trainer, name, wrong)
    return {
        "format": FORMAT,
        "iterations": trainer.iterations,
        "epochs": trainer.epochs,
        "attributes": attributes,
    }


def restore(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Put a checkpoint's state into `trainer`.

    Raises:
        CheckpointError: if an attribute is in one of the two only.
    """
    stored, found = set(trainer.stored), set(state["attributes"])
    if stored != found:
        raise CheckpointError(
            f"The checkpoint does not fit {type(trainer).__name__}.",
            hint=f"missing in the checkpoint: {_names(stored - found)}\n"
            f"only in the checkpoint: {_names(found - stored)}",
        )
    for name, value in state["attributes"].items():
        present = getattr(trainer, name)
        if hasattr(present, "load_state_dict"):
            present.load_state_dict(value)
        elif _same_shape(present, value):
            # The same object, so that an optimizer goes on with it, and where it is.
            with torch.no_grad():
                present.copy_(value)
        else:
            setattr(trainer, name, value)
    trainer.iterations, trainer.epochs = state["iterations"], state["epochs"]


def _same_shape(one: object, other: object) -> bool:
    return isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and one.shape == other.shape


def faults(trainer: Trainer) -> Iterator[JadeError]:
    """Yield an error for each attribute to store whose type cannot be read back safely."""
    for name in trainer._stored:
        if not hasattr(trainer, name):
            continue
        wrong = _unstorable(_state(getattr(trainer, name)), name)
        if wrong:
            yield _not_storable(trainer, name, wrong)


def _not_storable(trainer: Trainer, name: str, wrong: str) -> ContractError:
    return ContractError(
        f"The attribute {name!r} of {type(trainer).__name__} cannot be stored: {wrong}.",
        hint="Storable are networks, optimizers and whatever has a state_dict; tensors, numbers, text, and"
        " lists or dictionaries of tensors, numbers and text. Several networks go into an nn.ModuleList.",
    )


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` to `path`, whole or not at all.

    Raises:
        CheckpointError: if the folder cannot be written or the disk is full; what was there before stays.
    """
    with _replacing(path) as temporary:
        _dump(temporary, state)


def read(path: Path) -> dict[str, Any]:
    """Return the state that `path` holds, without executing anything it may contain.

    Tensors are placed on the CPU.

    Raises:
        CheckpointError: if the file is missing, damaged, no checkpoint or of a newer format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}.") from None
    except Exception as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be read: it is damaged, or none ({type(error).__name__})."
        ) from error
    if not isinstance(state, dict) or not set(state) >= _KEYS or not isinstance(state["format"], int):
        raise CheckpointError(f"{path} is no checkpoint of JADE.")
    if state["format"] > FORMAT:
        raise CheckpointError(
            f"{path} has the format {state['format']}; this version of JADE reads up to {FORMAT}."
        )
    return state


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, which replaces it if the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _dump(path: Path, state: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        try:
            torch.save(dict(state), file)
        except RuntimeError as error:
            # torch wraps the error of a failed write; the file system's own reason is the useful one.
            reason = error.__context__ if isinstance(error.__context__, OSError) else None
            raise reason or OSError(str(error)) from error
        file.flush()
        os.fsync(file.fileno())


def _keep_as(path: Path, previous: Path) -> None:
    temporary = previous.with_name(f".{previous.name}.{os.getpid()}.tmp")
    try:
        os.link(path, temporary)
        temporary.replace(previous)
    except OSError:  # a file system without hard links: for a moment there is only the previous backup
        path.replace(previous)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot; the file itself is on disk already
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _state(value: Any) -> Any:  # noqa: ANN401 - any attribute
    return _plain(value.state_dict() if hasattr(value, "state_dict") else value)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any attribute
    """Return `value` with numpy's numbers, which torch does not read back safely, as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return {key: _plain(item) for key, item in value.items()} if type(value) is dict else value


def _unstorable(value: object, path: str) -> str | None:
    if type(value) in _PLAIN or isinstance(value, torch.Tensor):
        return None
    if isinstance(value, Mapping) and type(value).__name__ in ("dict", "OrderedDict", "Counter"):
        inner = [(f"{path}[{key!r}]", item) for key, item in value.items()]
        if any(not isinstance(key, str | int | float | bool | tuple) for key in value):
            return f"{path} has keys that are neither text nor numbers"
    elif type(value) in (list, tuple):
        inner = [(f"{path}[{index}]", item) for index, item in enumerate(list(value))]  # type: ignore[call-overload]
    else:
        return f"{path} is a {type(value).__module__}.{type(value).__qualname__}"
    return next((wrong for name, item in inner if (wrong := _unstorable(item, name))), None)


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
