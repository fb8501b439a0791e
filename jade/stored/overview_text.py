"""What is known of a stored run as text for a person: `show`.

Pure. Names and values may be somebody else's: nothing of them reaches the terminal as an order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from jade.table import numbers
from jade.texts import ago, duration, plain, size, text_of

_INDENT = "  "


def text(about: Mapping[str, Any], now: float) -> str:
    """Return what `about` gathered, as lines.

    Args:
        about: what it returned.
        now: seconds since 1970.
    """
    lines = [
        *_head(about, now),
        *_block("config", _config(about["config"], about["changed"])),
        *_block("metrics", _metrics(about["metrics"])),
        *_block("checkpoints", _checkpoints(about["checkpoints"], now)),
        *_block("files", _files(about["files"])),
        *_block("lineage", _lineage(about["lineage"])),
    ]
    return "".join(f"{plain(line)}\n" for line in lines)


def files(listed: Mapping[str, int], times: Mapping[str, float | None], now: float) -> str:
    """Return a line for each file: its size, when it was changed, its name."""
    rows = [
        (size(count), "" if times.get(name) is None else ago(now - (times[name] or 0.0)), name)
        for name, count in listed.items()
    ]
    return "".join(f"{plain(line)}\n" for line in _aligned(rows, right=(0, 1)))


def _block(name: str, lines: Iterable[str]) -> Iterator[str]:
    told = [f"{_INDENT}{line}" for line in lines]
    if told:
        yield from ("", name, *told)


def _head(about: Mapping[str, Any], now: float) -> Iterator[str]:
    run = about["run"]
    named = f"{run['name']} ({run['id']})" if run["name"] != run["id"] else run["id"]
    yield f"{named}  {run['state']}"
    code, machine = about["code"], about["machine"]
    pairs = {
        "where": run["folder"] or run["where"],
        "page": run["url"],
        "owner": f"{run['owner']}, somebody else's: its code needs --trust-code"
        if run["is_foreign"]
        else None,
        "begun": _when(about["began"], now),
        "took": duration(about["seconds"]),
        "trained": _joined([_count(about["epochs"], "epoch"), _count(about["iterations"], "iteration")]),
        "command": about["command"]["text"],
        "in": about["command"]["folder"],
        "code": _joined(
            [
                _commit(code),
                _count(code["files"] or None, "file"),
                size(code["size"]) if code["files"] else "",
                f"digest {code['digest'][:12]}" if code["digest"] else "",
            ]
        ),
        "data": _joined(_length(name, known) for name, known in about["datasets"].items()),
        "with": _joined(f"{name} {version}" for name, version in about["versions"].items()),
        "on": _joined(
            dict.fromkeys(str(machine[key] or "") for key in ("machine", "platform", "device_name", "device"))
        ),
    }
    yield from _aligned([(name, str(value)) for name, value in pairs.items() if value])


def _length(name: str, known: object) -> str:
    length = known.get("length") if isinstance(known, dict) else None
    return f"{name} ({_count(length, 'item') or 'of no known length'})"


def _commit(code: Mapping[str, Any]) -> str:
    if not code["commit"]:
        return ""
    return f"commit {code['commit']}" + (f" with {size(code['diff'])} of changes" if code["diff"] else "")


def _when(moment: str | None, now: float) -> str:
    if moment is None:
        return ""
    try:
        return f"{moment}, {ago(now - datetime.fromisoformat(moment).timestamp())}"
    except ValueError:
        return moment


def _config(config: Mapping[str, Any], changed: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (
            key,
            text_of(value).replace("\n", "\\n"),
            f"instead of {text_of(changed[key])}" if key in changed else "",
        )
        for key, value in config.items()
    ]
    return _aligned(rows)


def _metrics(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if not metrics:
        return
    rows: list[tuple[str, ...]] = [("", "last", "best", "")]
    for name, known in metrics.items():
        values = numbers([known["last"], known["best"]])
        direction = "highest" if known["goal"] == "maximize" else "lowest"
        at = f"{direction}, at iteration {known['best_at']}" if known["best_at"] is not None else ""
        rows.append((name, *values, at if values[1] else ""))
    yield from _aligned(rows, right=(1, 2))


def _checkpoints(known: Sequence[Mapping[str, Any]], now: float) -> Iterator[str]:
    rows = [
        (
            one["name"],
            _count(one["iterations"], "iteration"),
            _count(one["epochs"], "epoch"),
            size(one["size"]),
            _when(one["time"], now).partition(", ")[2],
            f"{one['metric']} {text_of(one['value'])}" if one["metric"] else "",
        )
        for one in known
    ]
    return _aligned(rows, right=(1, 2, 3, 4))


def _files(kinds: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    rows = [(kind, str(known["count"]), size(known["size"])) for kind, known in kinds.items()]
    return _aligned(rows, right=(1, 2))


def _lineage(lineage: Mapping[str, Any]) -> Iterator[str]:
    begun = lineage["init_from"]
    if isinstance(begun, dict):
        attributes = begun.get("attributes") or []
        told = [f"{begun.get('run')}:{begun.get('checkpoint')}", _count(begun.get("iterations"), "iteration")]
        yield f"begun from {_joined([*told, *map(str, attributes)])}"
    if lineage["sweep"]:
        yield f"trial of {lineage['sweep']}"
    for one in lineage["continued"]:
        where = f" on {one['machine']}" if one["machine"] else ""
        yield f"continued at iteration {one['iterations']}{where}; it had {one['was']} before"


def _count(number: object, what: str) -> str:
    return "" if number is None else f"{text_of(number)} {what}{'' if number == 1 else 's'}"


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(part for part in parts if part)


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Iterator[str]:
    """Return rows as lines whose columns are aligned; an empty column takes no room."""
    if not rows:
        return
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    for row in rows:
        cells = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            if width
        ]
        yield "  ".join(cells).rstrip()
