"""Lists as W&B's schema gives them: page by page, behind a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PAGE = 50


def connection(items: Sequence[Any], after: str | None, first: int | None) -> dict[str, Any]:
    """Return a page of a list: `first` items behind the cursor `after`."""
    begin = int(after) if after and str(after).isdecimal() else 0
    end = len(items) if first is None else min(begin + max(0, first), len(items))
    return {
        "edges": [
            {"node": item, "cursor": str(number)} for number, item in enumerate(items[begin:end], begin + 1)
        ],
        "pageInfo": {"endCursor": str(end) if end else None, "hasNextPage": end < len(items)},
        "totalCount": len(items),
    }
