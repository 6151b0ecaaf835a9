"""Checks that loss and gradient are finite, without making the host wait for the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sslcore.errors import TrainingError


@dataclass
class _Check:
    """A check whose result is not read yet."""

    finite: Tensor
    loss_finite: Tensor
    ready: torch.cuda.Event | None
    error: Callable[[str], TrainingError]

    def read(self) -> None:
        if self.ready is not None:
            self.ready.synchronize()
        if not bool(self.finite):
            raise self.error("gradient" if bool(self.loss_finite) else "loss")


class FiniteCheck:
    """Raises an error if loss or gradient is not finite, and keeps the weights before that step.

    On an accelerator the host runs ahead of the device, and reading a number makes it wait. The
    check is therefore read a step later. Until then a fused optimizer protects the weights: on the
    device, it skips a step that is not finite.

    Args:
        optimizer: the optimizer of the run; fused, with `later`.
        later: whether to read the check a step later.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, later: bool) -> None:
        self.optimizer, self.later = optimizer, later
        self._last: _Check | None = None

    def __call__(
        self, watched: Tensor, loss: Tensor, error: Callable[[str], TrainingError]
    ) -> None:
        """Check a step before the optimizer moves the weights.

        Args:
            watched: scalar; if it is not finite, the weights must not move.
            loss: scalar, which tells whether the loss or only the gradient is not finite.
            error: makes the error from "loss" or "gradient".

        Raises:
            TrainingError: this step, or with `later` the one before it, is not finite.
        """
        self.settle()
        flags = (torch.isfinite(watched), torch.isfinite(loss))
        if not self.later:
            _Check(*flags, None, error).read()
            return
        # A fused optimizer reads this: 1 makes it skip the step.
        self.optimizer.found_inf = (~flags[0]).float()  # type: ignore[attr-defined]
        self._last = _Check(*_copied_to_host(flags), error)

    def settle(self) -> None:
        """Read the check of the last step, if it is not read yet.

        Raises:
            TrainingError: the step was not finite.
        """
        if self._last is not None:
            self._last.read()
            self._last = None


def _copied_to_host(flags: Sequence[Tensor]) -> tuple[Tensor, Tensor, torch.cuda.Event | None]:
    """Start to copy two flags to the host; return the copies and the event of their completion."""
    if flags[0].device.type != "cuda":
        return flags[0], flags[1], None
    first, second = (
        torch.empty_like(flag, device="cpu", pin_memory=True).copy_(flag, non_blocking=True)
        for flag in flags
    )
    ready = torch.cuda.Event()
    ready.record()
    return first, second, ready
