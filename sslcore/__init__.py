"""sslcore: self-supervised learning on images from parts that plug together.

Everything public is listed here and imported on first use, so that `import sslcore` is cheap and
free of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Augmentation": "sslcore.components",
    "Dataset": "sslcore.components",
    "Encoder": "sslcore.components",
    "Evaluator": "sslcore.components",
    "Head": "sslcore.components",
    "Loss": "sslcore.components",
    "Method": "sslcore.components",
    "Teacher": "sslcore.components",
    "hookimpl": "sslcore.hookspecs",
    "BatchRandom": "sslcore.random",
    "Data": "sslcore.data",
    "Split": "sslcore.data",
    "SslcoreError": "sslcore.errors",
    "build": "sslcore.api",
    "evaluate": "sslcore.api",
    "load_encoder": "sslcore.api",
    "train": "sslcore.api",
}

__all__ = [
    "Augmentation",
    "BatchRandom",
    "Data",
    "Dataset",
    "Encoder",
    "Evaluator",
    "Head",
    "Loss",
    "Method",
    "Split",
    "SslcoreError",
    "Teacher",
    "__version__",
    "build",
    "evaluate",
    "hookimpl",
    "load_encoder",
    "train",
]

if TYPE_CHECKING:
    from sslcore.api import build, evaluate, load_encoder, train
    from sslcore.components import (
        Augmentation,
        Dataset,
        Encoder,
        Evaluator,
        Head,
        Loss,
        Method,
        Teacher,
    )
    from sslcore.data import Data, Split
    from sslcore.errors import SslcoreError
    from sslcore.hookspecs import hookimpl
    from sslcore.random import BatchRandom


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sslcore' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
