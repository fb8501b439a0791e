"""Stored runs as a notebook displays them: small HTML tables.

Pure. Names and values may be somebody else's: nothing of them becomes markup. They are sorted, for a server
says them in any order, and a run is to look the same from everywhere.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from jade import table
from jade.sheet import PARAM
from jade.stored import runs_sheet
from jade.stored.selection import Listed, Metric, metrics_of
from jade.stored.source import Facts
from jade.summary import BEST
from jade.texts import duration, number_text, plain, shortened_in_the_middle, text_of
from jade.trials import differing

LONGEST = 60
MOST_ROWS = 100
MOST_PARAMS = 8  # beside each other
MOST_LINES = 20  # of params, or of metrics, of one run
# Not how long ago something was: what is displayed is kept, and read much later.
_COLUMNS = ("run", "name", "state", "trained", "last", "best")


def run(label: str, facts: Facts) -> str:
    """Return what is known of a run, without opening it: state, the params of its model, its metrics.

    Args:
        label: where it is stored.
        facts: what is said of it.
    """
    lines = [*_head(label, facts), *_block("config", _params(facts)), *_block("metrics", _metrics(facts))]
    return f"<table>{''.join(lines)}</table>"


def runs(rows: Sequence[Listed], metric: Metric | None) -> str:
    """Return a row for each run, numbered as the list is, with the params in which they differ.

    Args:
        rows: the runs.
        metric: what they are compared by.
    """
    if not rows:
        return "<p>no runs</p>"
    keys = sorted(differing([row.facts.params for row in rows if row.facts.params]))[:MOST_PARAMS]
    sheet = runs_sheet.of_runs(rows, metric, keys)
    columns = [
        one
        for one in sheet.columns
        if one.yields < table.HIDDEN and (one.key in _COLUMNS or one.kind == PARAM and one.key in keys)
    ]
    by_key = {one.key: one for one in columns}
    written = [table.cells(one, by_key.get(one.like, one), 0.0) for one in columns]
    numbered = [[str(number), *row] for number, row in enumerate(zip(*written, strict=True))]
    head = _row("th", ["", *(one.heading for one in columns)])
    body = [_row("td", row) for row in numbered[:MOST_ROWS]]
    more = _more(len(rows) - MOST_ROWS)
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>{more and f'<p>{more}</p>'}"


def _head(label: str, facts: Facts) -> Iterator[str]:
    named = f"{facts.name} ({facts.run_id})" if facts.name != facts.run_id else facts.run_id
    trained = [
        f"{number_text(count)} {what}"
        for count, what in ((facts.epochs, "epochs"), (facts.iterations, "iterations"))
        if count is not None
    ]
    pairs = {
        "run": named,
        "where": label,
        "state": ", ".join(part for part in (facts.state, *trained, duration(facts.seconds)) if part),
        "sweep": facts.sweep,
        "owner": f"{facts.owner}, somebody else's: its code needs trust_code=True"
        if facts.is_foreign
        else None,
    }
    return (_pair(name, value) for name, value in pairs.items() if value)


def _params(facts: Facts) -> Mapping[str, str]:
    """Return what a person asks for first: the model's params, and what is in no section."""
    return {
        key: text_of(value)
        for key, value in sorted(facts.params.items())
        if key.startswith("model.") or "." not in key
    }


def _metrics(facts: Facts) -> Mapping[str, str]:
    found = {}
    for name in sorted(metrics_of(facts)):
        best = facts.summary.get(f"{name}{BEST}")
        told = number_text(_float(facts.summary[name]))
        found[name] = f"{told}, best {number_text(_float(best))}" if best is not None else told
    return found


def _float(value: Any) -> Any:  # noqa: ANN401 - a server's summary may hold anything
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _block(name: str, pairs: Mapping[str, str]) -> Iterator[str]:
    if pairs:
        yield f'<tr><th colspan="2">{name}</th></tr>'
        yield from (_pair(key, value) for key, value in islice(pairs.items(), MOST_LINES))
    if more := _more(len(pairs) - MOST_LINES):
        yield _pair(more, "")


def _more(count: int) -> str:
    return f"and {count} more" if count > 0 else ""


def _pair(name: str, value: str) -> str:
    return _row("td", [name, value])


def _row(tag: str, cells: Iterable[str]) -> str:
    written = (html.escape(plain(shortened_in_the_middle(cell, LONGEST))) for cell in cells)
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in written)}</tr>"
