"""A picture as a file: in the one style that JADE's pictures have, whole or not at all.

What is drawn is the affair of who calls; matplotlib is imported when something is.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jade.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
_STYLE: Any = {
    "font.size": 8,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "text.parse_math": False,  # a `$` in a name is a `$`
    "text.usetex": False,
    "savefig.dpi": 150,
}


def write(path: Path, drawn: Callable[[], Figure], where: str) -> None:
    """Write a picture: PNG, PDF or SVG by the name's ending.

    Args:
        path: of the file; its folder is made.
        drawn: returns the figure; it is called in JADE's style.
        where: the path was given, for errors.

    Raises:
        ConfigError: if the ending is another one, or the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"A picture cannot be written as {path.name!r}.",
            where=where,
            hint=f"Its name ends with {', '.join(SUFFIXES)}.",
        )
    import matplotlib as mpl  # takes a while, and only those who draw need it

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as beside:
            made = Path(beside) / path.name
            with mpl.rc_context(_STYLE), warnings.catch_warnings():
                # A name in a script that the font does not have is drawn as boxes.
                warnings.filterwarnings("ignore", message="Glyph")
                drawn().savefig(made)
            made.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.", where=where) from error
