"""The short notation of what a sweep tries, as a command line has it, to W&B's own words."""

from __future__ import annotations

import re
from typing import Any

import yaml

from jade import scalars
from jade.errors import ConfigError

NOTATION = """\
KEY=1,2,3            each of the values
KEY=LO..HI           any number between; whole ones for a whole number
KEY=log:LO..HI       any number between, small ones as often as large ones
KEY=q:STEP:LO..HI    multiples of STEP between
KEY=normal:MU:SIGMA  around MU, most of them no further away than SIGMA"""
_RANGE = re.compile(
    r"(?P<form>log:|q:(?P<step>[^:]+):)?(?P<low>[^.,:\[\]]*(?:\.\d[^.,:\[\]]*)?)\.\.(?P<high>[^,:\[\]]+)"
)
_NORMAL = re.compile(r"normal:(?P<mu>[^:,]+):(?P<sigma>[^:,]+)")


def spec_of(key: str, notation: str, default: object) -> dict[str, Any]:
    """Return how W&B says what `notation` says of a parameter.

    Args:
        key: of the parameter.
        notation: as in `NOTATION`.
        default: the value that the configuration has; between whole numbers lie whole ones if it is whole.

    Raises:
        ConfigError: if it is none of them.
    """
    bell, between = _NORMAL.fullmatch(notation), _RANGE.fullmatch(notation)
    if bell:
        mu, sigma = (_number(key, notation, bell[name]) for name in ("mu", "sigma"))
        return {"distribution": "normal", "mu": mu, "sigma": sigma}
    if between is None or not (between["form"] or _are_numbers(between["low"], between["high"])):
        return _listed(key, notation)
    low, high = (_number(key, notation, between[name]) for name in ("low", "high"))
    if between["step"]:
        step = _number(key, notation, between["step"])
        return {"distribution": "q_uniform", "q": step, "min": low, "max": high}
    if between["form"]:
        return {"distribution": "log_uniform_values", "min": low, "max": high}
    if isinstance(low, int) and isinstance(high, int) and not isinstance(default, float):
        return {"distribution": "int_uniform", "min": low, "max": high}
    return {"distribution": "uniform", "min": float(low), "max": float(high)}


def _listed(key: str, notation: str) -> dict[str, Any]:
    if notation.startswith(("log:", "q:", "normal:")):
        raise _no_notation(key, notation)
    try:
        values = scalars.parse(f"[{notation}]")
    except yaml.YAMLError:
        raise _no_notation(key, notation) from None
    return {"value": values[0]} if len(values) == 1 else {"values": values}


def _number(key: str, notation: str, text: str) -> int | float:
    value = scalars.typed(text.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _no_notation(key, notation)
    return value


def _are_numbers(*texts: str) -> bool:
    return all(isinstance(scalars.typed(text.strip()), int | float) for text in texts)


def _no_notation(key: str, notation: str) -> ConfigError:
    return ConfigError(
        f"{notation!r} does not say which values {key} takes.", where=f"--sweep {key}", hint=NOTATION
    )
