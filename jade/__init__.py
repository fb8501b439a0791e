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
    from jade.trainer import Trainer

__version__ = "0.1.0"
__all__ = ["DatasetEvaluation", "Evaluation", "JadeError", "Trainer", "__version__"]

_HOMES = {
    "Trainer": "jade.trainer",
    "Evaluation": "jade.eval",
    "DatasetEvaluation": "jade.eval",
    "JadeError": "jade.errors",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    if name not in _HOMES:
        raise AttributeError(f"module 'jade' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
