"""sslcore from Python: build a part, preview, train, evaluate, report, load an encoder."""

from sslcore.api.after import evaluate, report
from sslcore.api.before import build, preview
from sslcore.api.exporting import export
from sslcore.api.features import embed
from sslcore.api.fine_tuning import finetune
from sslcore.api.loading import load_classifier, load_encoder
from sslcore.api.neighbours import dedupe, search
from sslcore.api.prediction import predict
from sslcore.api.run import Run, open_run
from sslcore.api.training import train
from sslcore.recipe.resolve import make_recipe

__all__ = [
    "Run",
    "build",
    "dedupe",
    "embed",
    "evaluate",
    "export",
    "finetune",
    "load_classifier",
    "load_encoder",
    "make_recipe",
    "open_run",
    "predict",
    "preview",
    "report",
    "search",
    "train",
]
