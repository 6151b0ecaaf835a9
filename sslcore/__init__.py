"""sslcore: self-supervised learning on images from parts that plug together.

Everything public is listed here and imported on first use, so that `import sslcore` is cheap and
free of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sslcore._version import __version__

_PUBLIC = {
    "Augmentation": "sslcore.contract.records",
    "Dataset": "sslcore.contract.records",
    "Encoder": "sslcore.contract.records",
    "Evaluator": "sslcore.contract.records",
    "Head": "sslcore.contract.records",
    "Loss": "sslcore.contract.records",
    "Method": "sslcore.contract.records",
    "Preset": "sslcore.contract.records",
    "Optimizer": "sslcore.contract.records",
    "Schedule": "sslcore.contract.records",
    "Teacher": "sslcore.contract.records",
    "Tracker": "sslcore.contract.records",
    "hookimpl": "sslcore.contract.hooks",
    "BatchRandom": "sslcore.random",
    "Data": "sslcore.data",
    "Split": "sslcore.data",
    "SslcoreError": "sslcore.errors",
    "build": "sslcore.api",
    "dedupe": "sslcore.api",
    "embed": "sslcore.api",
    "evaluate": "sslcore.api",
    "export": "sslcore.api",
    "finetune": "sslcore.api",
    "load_classifier": "sslcore.api",
    "load_encoder": "sslcore.api",
    "open_run": "sslcore.api",
    "predict": "sslcore.api",
    "preview": "sslcore.api",
    "report": "sslcore.api",
    "search": "sslcore.api",
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
    "Optimizer",
    "Preset",
    "Schedule",
    "Split",
    "SslcoreError",
    "Teacher",
    "Tracker",
    "__version__",
    "build",
    "dedupe",
    "embed",
    "evaluate",
    "export",
    "finetune",
    "hookimpl",
    "load_classifier",
    "load_encoder",
    "open_run",
    "predict",
    "preview",
    "report",
    "search",
    "train",
]

if TYPE_CHECKING:
    from sslcore.api import (
        build,
        dedupe,
        embed,
        evaluate,
        export,
        finetune,
        load_classifier,
        load_encoder,
        open_run,
        predict,
        preview,
        report,
        search,
        train,
    )
    from sslcore.contract.hooks import hookimpl
    from sslcore.contract.records import (
        Augmentation,
        Dataset,
        Encoder,
        Evaluator,
        Head,
        Loss,
        Method,
        Optimizer,
        Preset,
        Schedule,
        Teacher,
        Tracker,
    )
    from sslcore.data import Data, Split
    from sslcore.errors import SslcoreError
    from sslcore.random import BatchRandom


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sslcore' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
