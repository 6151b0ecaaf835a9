"""Whether loss and gradient are numbers, watched without making the host wait for the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sslcore.errors import TrainingError


@dataclass
class _Look:
    """A look that has been taken and not been read yet."""

    finite: Tensor
    loss_finite: Tensor
    ready: torch.cuda.Event | None
    complaint: Callable[[str], TrainingError]

    def read(self) -> None:
        if self.ready is not None:
            self.ready.synchronize()
        if not bool(self.finite):
            raise self.complaint("gradient" if bool(self.loss_finite) else "loss")


class FiniteCheck:
    """Stops a run whose loss or gradient is not finite, with the weights as they were before.

    On an accelerator the host is ahead of the device, and to ask it for a number would make it
    wait. There the optimizer itself leaves the weights alone where it is told to, on the device,
    and the answer is read a step later. It can be told so if it is fused.

    Args:
        optimizer: moves the weights.
        later: whether the answer is read a step later.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, later: bool) -> None:
        self.optimizer, self.later = optimizer, later
        self._taken: _Look | None = None

    def __call__(
        self, watched: Tensor, loss: Tensor, complaint: Callable[[str], TrainingError]
    ) -> None:
        """Look at a step before the optimizer moves the weights.

        Args:
            watched: scalar, not finite where the step must not be made.
            loss: scalar, to tell whether it is the loss or the gradient.
            complaint: makes the error, given which of the two it is.

        Raises:
            TrainingError: this step, or with `later` the one before it, is not finite.
        """
        self.settle()
        looked = (torch.isfinite(watched), torch.isfinite(loss))
        if not self.later:
            _Look(*looked, None, complaint).read()
            return
        # What the optimizer looks at: 1 makes it leave weights and state as they are.
        self.optimizer.found_inf = (~looked[0]).float()  # type: ignore[attr-defined]
        self._taken = _Look(*_on_their_way(looked), complaint)

    def settle(self) -> None:
        """Read the look that has been taken last, if that has not been done.

        Raises:
            TrainingError: the step was not finite.
        """
        if self._taken is not None:
            self._taken.read()
            self._taken = None


def _on_their_way(flags: Sequence[Tensor]) -> tuple[Tensor, Tensor, torch.cuda.Event | None]:
    """Return two flags copied to the host, and what tells that the copies have arrived."""
    if flags[0].device.type != "cuda":
        return flags[0], flags[1], None
    first, second = (
        torch.empty_like(flag, device="cpu", pin_memory=True).copy_(flag, non_blocking=True)
        for flag in flags
    )
    ready = torch.cuda.Event()
    ready.record()
    return first, second, ready
