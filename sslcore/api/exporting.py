"""A run's encoder or classifier in the format of another program."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from sslcore.api.loading import load_classifier, load_encoder
from sslcore.errors import RunFolderError, UsageError
from sslcore.evaluation.table import cells_of
from sslcore.exports.exported import Exported
from sslcore.exports.formats import Format, format_called
from sslcore.pipeline.normalization import normalization_of
from sslcore.registry.registry import Registry, default_registry
from sslcore.reports.fine_tuning import COMPARED, FineTuningScores
from sslcore.runs.about import ABOUT
from sslcore.runs.folder import ENCODER, Run
from sslcore.runs.summary import RunSummary
from sslcore.system.files import user_path

if TYPE_CHECKING:
    from torch import nn

#: The folder of exports in the folder of a run.
EXPORTS = "exports"


@dataclass(frozen=True)
class ExportedFile:
    """A file or folder that was written.

    Attributes:
        path: the file or folder.
        load: the call that loads it, as text.
        output: what the network gives: "features" or "logits".
    """

    path: Path
    load: str
    output: str


def export(
    run: str | Path,
    *,
    format: str,
    output: str | Path | None = None,
    preprocessing: bool = True,
    teacher: bool = False,
    registry: Registry | None = None,
) -> ExportedFile:
    """Write a run's encoder, with its classifier if it has one, in the format of another program.

    ONNX, TorchScript and the weights for another library are loaded there and compared before the
    file counts as written.

    Args:
        run: the run's folder.
        format: "torch", "safetensors", "onnx", "torchscript", "torchvision", "timm" or
            "huggingface".
        output: the file, or the folder for "huggingface"; `exports/` in the run's folder by
            default. A file of that name is replaced.
        preprocessing: whether ONNX and TorchScript take images in [0, 1]; otherwise, they take
            views as the augmentation normalises them.
        teacher: whether to export the encoder of the run's teacher, without a classifier.
        registry: where to look for parts; everything installed by default.

    Raises:
        UsageError: there is no such run or format, the format can't hold the encoder, a library
            is missing, or the file can't be written.
    """
    chosen, opened = format_called(format), Run.open(run)
    if not preprocessing and not chosen.graph:
        raise UsageError(
            f"--no-preprocessing is for onnx and torchscript; {format} has no preprocessing"
        )
    variant = ("-teacher" if teacher else "") + ("" if preprocessing else "-views")
    path = _path(chosen, opened, output, variant)
    exported = _exported(opened, registry or default_registry(), teacher=teacher)
    with _folder(path.parent) if output is None else nullcontext():
        load = chosen.write(exported, path, preprocessing)
    return ExportedFile(path, load, exported.output)


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Make a folder, and remove it again if nothing is written into it."""
    try:
        path.mkdir(exist_ok=True)
        yield
    except OSError as error:
        raise RunFolderError(f"{path} can't be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            path.rmdir()


def _path(chosen: Format, run: Run, output: str | Path | None, variant: str) -> Path:
    """Return the path to write, checked.

    Args:
        chosen: the format.
        run: the run.
        output: the path asked for, or None.
        variant: what the default name ends in, so that other exports are kept.

    Raises:
        UsageError: it can't be written.
    """
    if output is None:
        ending = chosen.endings[0] if chosen.endings else ""
        path = run.path / EXPORTS / f"{chosen.name}{variant}{ending}"
    else:
        path = user_path(output, "--output")
        if chosen.endings and path.suffix not in chosen.endings:
            raise UsageError(f"--output {path}: it must end in {' or '.join(chosen.endings)}")
        if not path.parent.is_dir():
            raise UsageError(f"--output {path}: its folder does not exist")
    folder = path.parent if path.parent.is_dir() else run.path
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} can't be written; choose another --output")
    if chosen.endings and path.is_dir():
        raise UsageError(f"--output {path}: it is a folder, and a file is written")
    if not chosen.endings and path.exists():
        raise UsageError(f"{path} exists already; remove it, or choose another --output")
    return path


def _exported(run: Run, registry: Registry, *, teacher: bool) -> Exported:
    classes = () if teacher else run.class_names()
    head: nn.Module | None = None
    if classes:
        classifier = load_classifier(run.path, registry=registry)
        extractor, head = classifier.extractor, classifier.head
    else:
        extractor = load_encoder(run.path, teacher=teacher, registry=registry)
    summary = RunSummary.of(run.path)
    return Exported(
        extractor=extractor,
        head=head,
        classes=classes,
        about=_about(run) | ({"teacher": True} if teacher else {}),
        normalization=normalization_of(extractor.augmentation, run.shape()),
        data_name=summary.data,
        train_images=run.train_images(),
        tables=_tables(run, summary),
    )


def _about(run: Run) -> dict[str, object]:
    with safe_open(run.path / ENCODER, "pt") as file:
        found = json.loads((file.metadata() or {}).get(ABOUT, "{}"))
    return dict(found)


def _tables(run: Run, summary: RunSummary) -> tuple[tuple[str, list[str], list[list[str]]], ...]:
    found = []
    if summary.table:
        found.append(("Scores", *cells_of(summary.table, summary.details)))
    if (scores := FineTuningScores.read(run.path / COMPARED)) is not None:
        found.append(("The same training with other beginnings", *scores.rows()))
    return tuple(found)
