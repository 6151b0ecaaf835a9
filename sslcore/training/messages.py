"""The errors that end training: the cause, the part at fault, what is saved and how to go on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sslcore.errors import DataError, LostProcessError, SourceError, TrainingError, last_line
from sslcore.recipe.recipe import Recipe


def not_finite(
    what: str, step: int, losses: Sequence[Tensor], rate: float, precision: str
) -> TrainingError:
    """Return the error of a step whose loss or gradient is not finite.

    Args:
        what: "loss" or "gradient".
        step: the step, counted from 0.
        losses: losses of the steps before, scalars.
        rate: the learning rate.
        precision: "fp32", "bf16" or "fp16".
    """
    last = ", ".join(f"{float(item):.4g}" for item in losses) or "none"
    return TrainingError(
        f"the {what} is not finite at step {step + 1} (losses before it: {last}); the weights "
        f"are those before this step. Try a lower rate (--set optimizer.lr={rate / 10:.2g}), "
        "--set training.clip_grad_norm=1, a warm-up (--set training.warmup_epochs=5)"
        + ("" if precision == "fp32" else ", or --precision fp32")
    )


def out_of_memory(
    what: str, step: int, recipe: Recipe, device: torch.device, precision: str, saved: str
) -> TrainingError:
    """Return the error of a step that ran out of memory, with settings that need less.

    Args:
        what: "images", a stage's kind, "teacher" or "gradient".
        step: the step, counted from 0.
        recipe: the recipe of the run.
        device: the device that ran out of memory.
        precision: "fp32", "bf16" or "fp16".
        saved: the text of `how_to_go_on`.
    """
    size = recipe.training.batch_size
    if what == "images":
        ways = ["--workers 2 (reads each batch from disk)", f"--batch-size {max(1, size // 2)}"]
    else:
        ways = [f"--batch-size {max(1, size // 2)}"]
    if what not in ("images", "loss"):
        micro_batch = min(recipe.training.micro_batch or size, size)
        ways.append(f"--micro-batch {max(1, micro_batch // 4)} (same result as the whole batch)")
        ways += ["--precision bf16"] if precision == "fp32" else []
        ways.append("a smaller encoder")
    names = {part.kind: part.name for part in recipe.parts}
    where = f"{what} {names[what]}" if what in names else what
    return TrainingError(
        f"{device} ran out of memory at step {step + 1} with batches of {size}, for the {where}; "
        f"try {', '.join(ways[:-1])}{', or ' if ways[:-1] else ''}{ways[-1]}; {saved}"
    )


def unreadable(error: BaseException, step: int, saved: str) -> TrainingError:
    """Return the error of a step, counted from 0, whose images can't be read."""
    reason = last_line(error)
    # A run goes on with the images that it was started on, or not at all.
    named = isinstance(error, (DataError, OSError)) and not isinstance(error, SourceError)
    restore = "; restore the file" if named else ""
    return TrainingError(f"the images of step {step + 1} can't be read: {reason}{restore}; {saved}")


def optimizer_failed(error: BaseException, step: int, recipe: Recipe) -> TrainingError:
    """Return the error of a step, counted from 0, in which the optimizer failed."""
    return TrainingError(
        f"optimizer {recipe.optimizer.name} failed at step {step + 1}: {last_line(error)}; its "
        f"settings are {dict(recipe.optimizer.settings)}"
    )


def lost_process(saved: str) -> LostProcessError:
    """Return the error of a process whose run lost another process."""
    return LostProcessError(
        f"another process of this run exited; see its output for the cause; {saved}. With "
        "--max-restarts, torchrun restarts all processes and the run goes on"
    )


def how_to_go_on(saved: int | None, command: str) -> str:
    """Return a sentence with the saved step, and the command that resumes from it.

    Args:
        saved: the step of the last checkpoint, or None.
        command: the command that resumes the run.
    """
    what = "nothing is saved yet" if saved is None else f"step {saved} is saved"
    return f"{what}, go on with: {command}" if command else what


def is_reader_error(error: BaseException) -> bool:
    """Whether an error means that a reading process died."""
    # torch raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
