"""Stages run on a dummy batch, so that a wrong shape is an error before the first image."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from sslcore.contract.interface import ENGINE_KEYS, ENGINE_SIGNALS, interface_of
from sslcore.errors import CompositionError, SslcoreError, first_line
from sslcore.pipeline.pipeline import Pipeline, Signals, call
from sslcore.recipe.recipe import Part

#: Signals that carry no gradient in training: they are made before anything that is trained.
_WITHOUT_GRADIENT = ("images", "views", "local_views", "targets", "mask")


def run_on_dummies(
    part: Part, run: Callable[..., object], module: nn.Module, signals: Signals, shape: object
) -> Signals:
    """Run a stage once on dummies and restore its buffers (such as batch-norm statistics).

    Args:
        part: the part of the stage, for messages.
        run: called with the stage and the signals.
        module: the stage.
        signals: the dummies.
        shape: the shape of the images, for messages.

    Raises:
        CompositionError: the stage fails on them, or does not return a dict.
    """
    before = {name: value.clone() for name, value in module.named_buffers()}
    try:
        with torch.no_grad():
            made = run(module, signals)
    except SslcoreError:
        raise
    except Exception as error:
        raise CompositionError(
            f"{part} can't work on {shape}: {first_line(error)}{where(error)}"
        ) from error
    finally:
        for name, value in module.named_buffers():
            if name in before:
                value.copy_(before[name])
    if not isinstance(made, dict):
        raise CompositionError(f"{part}: forward must return a dict, got {type(made).__name__}")
    return made


def check_loss(part: Part, pipeline: Pipeline, signals: Signals, shape: object) -> None:
    """Score the dummies with a copy of the loss, so that its buffers (a queue) stay as they are.

    Raises:
        CompositionError: the loss fails on them, does not return a scalar with a graph, or logs a
            number under a name that the engine uses.
    """
    signals = {
        name: item if name in pipeline.of_images else _as_in_training(name, item)
        for name, item in signals.items()
    }
    signals["rows"] = None
    if pipeline.supervised:
        signals["labels"] = torch.zeros(len(signals["images"]), dtype=torch.int64)
    _check_needs(part, pipeline, signals)
    try:
        score = call(copy.deepcopy(pipeline.loss), signals)
    except SslcoreError:
        raise
    except Exception as error:
        shapes = ", ".join(
            f"{name} {tuple(item.shape)}"
            for name, item in signals.items()
            if isinstance(item, Tensor) and name != "images"
        )
        raise CompositionError(
            f"{part} can't work on {shape}: {first_line(error)}{where(error)} (it was given "
            f"{shapes})"
        ) from error
    value = score.get("loss") if isinstance(score, dict) else score
    if not isinstance(value, Tensor) or value.dim() != 0:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise CompositionError(f"{part} must return a scalar tensor, got {got}")
    if not value.requires_grad:
        raise CompositionError(
            f"{part} returns a scalar without a graph, so nothing would be trained: is it "
            "detached, or computed under torch.no_grad()?"
        )
    taken = {*ENGINE_KEYS, *ENGINE_SIGNALS} - {"loss"}
    clashes = sorted(taken & score.keys()) if isinstance(score, dict) else []
    if clashes:
        raise CompositionError(
            f"{part} returns {', '.join(clashes)}, which the engine itself writes into "
            "metrics.jsonl: it must call its number something else"
        )
    clashes = sorted((signals.keys() - {"loss"}) & score.keys()) if isinstance(score, dict) else []
    if clashes:
        raise CompositionError(
            f"{part} returns {', '.join(clashes)}, which is a signal of a stage before it: it must "
            "call its number something else"
        )


def _check_needs(part: Part, pipeline: Pipeline, signals: Signals) -> None:
    """Check that the stages made what the loss needs, as they may for other images."""
    needs = interface_of(type(pipeline.loss)).needs
    missing = [name for name, needed in needs.items() if needed and name not in signals]
    if missing:
        absent = sorted(pipeline.wanted() - signals.keys() - needs.keys())
        without = f"; of these images there is no {', '.join(absent)}" if absent else ""
        raise CompositionError(
            f"{part} needs {', '.join(missing)}, which the stages before it did not make{without}"
        )


def _as_in_training(name: str, item: object) -> object:
    if not isinstance(item, Tensor) or not item.is_floating_point():
        return item
    if name in _WITHOUT_GRADIENT or name.startswith("teacher_"):
        return item
    # A clone is no leaf: a loss may change it in place, as it may in training.
    return item.detach().requires_grad_().clone()


def where(error: BaseException) -> str:
    """Return `" (TypeError, losses.py line 12)"`: where in the code of a part an error arose.

    It is empty for a ValueError, whose message a part addresses to its user.
    """
    if isinstance(error, (ValueError, SslcoreError)):
        return ""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and Path(torch.__file__).parent not in Path(frame.filename).parents
    ]
    place = f", {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    return f" ({type(error).__name__}{place})"
