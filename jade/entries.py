"""What an evaluation may return, checked once at the border and handed on as plain entries.

Imports neither torch nor wandb: tensors and arrays are recognized by what they offer. Writing an entry to
disk or to a tracker is `record`'s and the tracker's affair.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jade.errors import ContractError, nearest

TYPES = ("scalar", "scalars", "figure", "image", "images", "histogram", "table", "text")


@dataclass(frozen=True)
class Entry:
    """One thing to log.

    Attributes:
        name: under which it is logged.
        kind: "scalar", "figure", "images", "histogram", "table" or "text".
        value: a float for a scalar; a matplotlib figure; a list of arrays `[H, W]`, `[H, W, 3]` or
            `[H, W, 4]` for images; a flat array for a histogram; `(columns, rows)` for a table; a string
            for text.
    """

    name: str
    kind: str
    value: Any


def from_evaluation(name: str, returned: object, iteration: int) -> tuple[list[Entry], int]:
    """Return the entries that the evaluation `name` returned, and the iteration they belong to.

    Args:
        name: of the evaluation, as in the YAML file.
        returned: `{"type": …, "value": …}` with an optional `iteration`.
        iteration: the trainer's, used where the evaluation names none.

    Raises:
        ContractError: if `returned` is anything else.
    """
    if not isinstance(returned, Mapping):
        raise _wrong(name, f"returned {_shown(returned)}; a dictionary with 'type' and 'value' is expected.")
    surplus = sorted(str(key) for key in returned if key not in ("type", "value", "iteration"))
    if surplus or "type" not in returned or "value" not in returned:
        raise _wrong(
            name,
            f"returned the keys {sorted(map(str, returned))}; 'type' and 'value' are needed,"
            " 'iteration' may be given.",
        )
    kind, value = returned["type"], returned["value"]
    if kind not in TYPES:
        near = nearest(str(kind), TYPES)
        raise _wrong(
            name,
            f"returned the type {kind!r}, which is none.",
            hint=f"{f'did you mean: {near}. ' if near else ''}known: {', '.join(TYPES)}",
        )
    step = returned.get("iteration", iteration)
    if isinstance(step, bool) or not isinstance(step, numbers.Integral) or step < 0:
        raise _wrong(name, f"returned the iteration {step!r}; a whole number from 0 on is expected.")
    return _CHECKS[kind](name, value), int(step)


def number(value: object) -> float | None:
    """Return `value` as a float if it is a number or holds a single one without a dimension, else None."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    try:
        return float(value) if isinstance(value, numbers.Real) else None
    except OverflowError:  # a whole number that no float reaches
        return None


def _wrong(name: str, problem: str, hint: str | None = None) -> ContractError:
    return ContractError(f"The evaluation {name!r} {problem}", hint=hint)


def _shown(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} of shape {list(shape)}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 80 else text[:77] + '...'}"


def _scalar(name: str, value: object) -> list[Entry]:
    as_number = number(value)
    if as_number is None:
        raise _wrong(
            name,
            f"returned {_shown(value)} as a scalar; a number or a tensor without dimensions is expected.",
            hint="For several numbers the type is 'scalars' and the value a dictionary.",
        )
    return [Entry(name, "scalar", as_number)]


def _scalars(name: str, value: object) -> list[Entry]:
    if not isinstance(value, Mapping) or not value:
        raise _wrong(
            name, f"returned {_shown(value)} as scalars; a dictionary of names to numbers is expected."
        )
    found = []
    for key, item in value.items():
        as_number = number(item)
        if as_number is None or not isinstance(key, str):
            raise _wrong(name, f"returned {_shown(item)} under {key!r} of its scalars; a number is expected.")
        found.append(Entry(f"{name}/{key}", "scalar", as_number))
    return found


def _figure(name: str, value: object) -> list[Entry]:
    if hasattr(value, "savefig"):
        return [Entry(name, "figure", value)]
    if not hasattr(value, "shape"):
        raise _wrong(
            name, f"returned {_shown(value)} as a figure; a matplotlib figure or an image tensor is expected."
        )
    return _image(name, value)


def _image(name: str, value: object) -> list[Entry]:
    return [Entry(name, "images", [_picture(name, value)])]


def _images(name: str, value: object) -> list[Entry]:
    several = isinstance(value, Sequence) or getattr(value, "ndim", 0) == 4
    pictures = [_picture(name, item) for item in value] if several else []  # type: ignore[attr-defined]
    if not pictures:
        raise _wrong(
            name,
            f"returned {_shown(value)} as images; a tensor [N, C, H, W] or a list of [C, H, W] is expected.",
        )
    return [Entry(name, "images", pictures)]


def _picture(name: str, value: object) -> Any:  # noqa: ANN401 - a numpy array
    """Return an image tensor `[C, H, W]` or `[H, W]` as an array of bytes `[H, W(, C)]`.

    Floats are in [0, 1] and are clipped to it; whole numbers are in [0, 255].
    """
    import numpy as np  # slow, and only evaluations that draw need it

    array = _array(value)
    channels_first = array is not None and array.ndim == 3 and array.shape[0] in (1, 3, 4)
    if array is None or not (channels_first or array.ndim == 2) or array.size == 0:
        raise _wrong(
            name,
            f"returned {_shown(value)} as an image; a tensor [C, H, W] with 1, 3 or 4 channels is expected.",
        )
    if channels_first:
        array = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)
    if array.dtype.kind == "f":
        array = np.nan_to_num(array, nan=0.0).clip(0.0, 1.0) * 255.0
    return array.clip(0, 255).astype(np.uint8) if array.dtype != np.bool_ else array.astype(np.uint8) * 255


def _array(value: object) -> Any:  # noqa: ANN401 - a numpy array or None
    import numpy as np  # slow, and only evaluations that draw need it

    if hasattr(value, "detach"):
        tensor: Any = value.detach().cpu()
        value = tensor.float() if tensor.is_floating_point() else tensor  # numpy knows no bfloat16
    if not (hasattr(value, "__array__") or isinstance(value, Sequence)) or isinstance(value, str):
        return None
    if isinstance(value, Sequence):
        value = [item.detach().cpu() if hasattr(item, "detach") else item for item in value]
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # ragged, or tensors on another device
        return None
    return array if array.dtype.kind in "fiub" else None


def _histogram(name: str, value: object) -> list[Entry]:
    array = _array(value)
    if array is None or array.size == 0:
        raise _wrong(
            name, f"returned {_shown(value)} as a histogram; a tensor or list of numbers is expected."
        )
    return [Entry(name, "histogram", array.reshape(-1))]


def _table(name: str, value: object) -> list[Entry]:
    form = "a dictionary of columns, or {'columns': [names], 'rows': [[...], ...]}, is expected"
    if not isinstance(value, Mapping) or not value:
        raise _wrong(name, f"returned {_shown(value)} as a table; {form}.")
    if set(value) == {"columns", "rows"}:
        columns, rows = value["columns"], value["rows"]
    else:
        columns = list(value)
        lengths = {str(column): len(cells) if _is_list(cells) else None for column, cells in value.items()}
        if len(set(lengths.values())) > 1 or None in lengths.values():
            raise _wrong(name, f"returned a table whose columns have the lengths {lengths}.")
        rows = list(zip(*value.values(), strict=True))
    if not _is_list(columns) or not _is_list(rows):
        raise _wrong(name, f"returned a table without lists of columns and rows; {form}.")
    if not all(_is_list(row) and len(row) == len(columns) for row in rows):
        raise _wrong(name, f"returned a table with a row that has not {len(columns)} cells; {form}.")
    cells = [[_cell(cell) for cell in row] for row in rows]
    return [Entry(name, "table", ([str(column) for column in columns], cells))]


def _is_list(value: object) -> bool:
    if isinstance(value, str | bytes | Mapping):
        return False
    return isinstance(value, Sequence) or getattr(value, "ndim", 0) > 0


def _cell(value: object) -> object:
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool | str | int | float | None):
        return value
    as_number = number(value)
    return str(value) if as_number is None else as_number


def _text(name: str, value: object) -> list[Entry]:
    if not isinstance(value, str):
        raise _wrong(name, f"returned {_shown(value)} as text; a string is expected.")
    return [Entry(name, "text", value)]


_CHECKS = {
    "scalar": _scalar,
    "scalars": _scalars,
    "figure": _figure,
    "image": _image,
    "images": _images,
    "histogram": _histogram,
    "table": _table,
    "text": _text,
}
