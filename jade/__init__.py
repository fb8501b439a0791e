"""JADE: sweeps of PyTorch experiments from three YAML files and one Python file.

These are the names for users. They are looked up when first used, so that `import jade.config` loads no
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jade.errors import JadeError
    from jade.eval import DatasetEvaluation, Evaluation
    from jade.stored.run import StoredRun
    from jade.stored.run import load as load_stored
    from jade.stored.runs import runs
    from jade.trainer import Trainer

__version__ = "0.1.0"
__all__ = [
    "DatasetEvaluation",
    "Evaluation",
    "JadeError",
    "StoredRun",
    "Trainer",
    "__version__",
    "load_stored",
    "runs",
]

_HOMES = {
    "Trainer": "jade.trainer",
    "Evaluation": "jade.eval",
    "DatasetEvaluation": "jade.eval",
    "JadeError": "jade.errors",
    "StoredRun": "jade.stored.run",
    "load_stored": "jade.stored.run:load",
    "runs": "jade.stored.runs",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    if name not in _HOMES:
        raise AttributeError(f"module 'jade' has no attribute {name!r}")
    home, _, inner = _HOMES[name].partition(":")
    return getattr(importlib.import_module(home), inner or name)


def __dir__() -> list[str]:
    return sorted(__all__)
