"""What ended training, in words: what it was, whose, what is saved and how to go on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sslcore.errors import LostProcessError, TrainingError, last_line
from sslcore.recipe.recipe import Recipe


def not_finite(
    what: str, step: int, losses: Sequence[Tensor], rate: float, precision: str
) -> TrainingError:
    """Say that a step was not made, since its loss or gradient is no number.

    Args:
        what: "loss" or "gradient".
        step: the step, counted from 0.
        losses: those of the steps before.
        rate: the learning rate.
        precision: of encoder and head.
    """
    last = ", ".join(f"{float(item):.4g}" for item in losses) or "none before it"
    return TrainingError(
        f"the {what} is not finite at step {step + 1} (last losses: {last}); the weights are "
        f"as they were before it. Try a lower rate (--set optimizer.lr={rate / 10:.2g}), "
        "--set training.clip_grad_norm=1, a warm-up (--set training.warmup_epochs=5)"
        + ("" if precision == "fp32" else ", or --precision fp32")
    )


def out_of_memory(
    what: str, step: int, recipe: Recipe, device: torch.device, precision: str, saved: str
) -> TrainingError:
    """Say what was too large for the memory, and what would fit.

    Args:
        what: "images", a stage's kind, "teacher" or "gradient".
        step: the step, counted from 0.
        recipe: of the run.
        device: whose memory it is.
        precision: of encoder and head.
        saved: what is saved, as `how_to_go_on` says it.
    """
    size = recipe.training.batch_size
    if what == "images":
        ways = ["--workers 2, which reads each batch from disk", f"--batch-size {_part(size, 2)}"]
    else:
        ways = [f"--batch-size {_part(size, 2)}"]
    if what not in ("images", "loss"):
        split = min(recipe.training.micro_batch or size, size)
        ways.append(f"--micro-batch {_part(split, 4)}, for the result of the whole batch")
        ways += ["--precision bf16"] if precision == "fp32" else []
        ways.append("a smaller encoder")
    names = {part.kind: part.name for part in recipe.parts}
    where = f"{what} {names[what]}" if what in names else what
    return TrainingError(
        f"{device} ran out of memory at step {step + 1} with batches of {size}, for the {where}; "
        f"try {', '.join(ways[:-1])}{', or ' if ways[:-1] else ''}{ways[-1]}; {saved}"
    )


def _part(size: int, parts: int) -> int:
    return max(1, size // parts)


def unreadable(error: BaseException, step: int, saved: str) -> TrainingError:
    """Say that the images of a step, counted from 0, can't be read."""
    return TrainingError(
        f"the images of step {step + 1} can't be read: {last_line(error)}; {saved}"
    )


def optimizer_failed(error: BaseException, step: int, recipe: Recipe) -> TrainingError:
    """Say that the optimizer could not make a step, counted from 0."""
    return TrainingError(
        f"optimizer {recipe.optimizer} failed at step {step + 1}: {last_line(error)}; its "
        f"settings are {dict(recipe.optimizer_settings)}"
    )


def lost_process(saved: str) -> LostProcessError:
    """Return the error of a process after another one exited."""
    return LostProcessError(
        f"another process of this run exited; see its output for the cause; {saved}. With "
        "--max-restarts, torchrun restarts all processes and the run goes on"
    )


def how_to_go_on(saved: int | None, command: str) -> str:
    """Say what is saved, and the command that goes on from there.

    Args:
        saved: the step; None where nothing is.
        command: resumes the run.
    """
    what = "nothing is saved yet" if saved is None else f"step {saved} is saved"
    return f"{what}, go on with: {command}" if command else what


def is_of_a_reader(error: BaseException) -> bool:
    """Whether a process that reads images has died: torch has no exception of its own for that."""
    return isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
