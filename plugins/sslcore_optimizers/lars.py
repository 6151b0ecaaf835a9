"""LARS: the rate of each layer follows the norm of its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """Stochastic gradient descent with a trust ratio for each layer (You et al. 2017, algorithm 1).

    With d = gradient + weight_decay · w, the step is the momentum of ratio · d, where ratio =
    trust_coefficient · ‖w‖ / ‖d‖; it is 1 where one of the norms is 0. As the official code of
    SimCLR, BYOL and Barlow Twins does, the norm is that of d, and the momentum is that of the
    gradient and not of the rate. These papers take biases and the parameters of normalisation
    layers without weight decay and without trust ratio.

    Args:
        params: groups of parameters.
        lr: learning rate.
        momentum: factor of the last step in the next one.
        weight_decay: factor of the weights that is added to the gradient.
        trust_ratio: whether the trust ratio applies; false is plain momentum.
        trust_coefficient: the length of a step, in units of the learning rate and of the norm of
            the weights.
        clip: whether the rate of a layer is at most `lr`, as in LARC: the ratio is the smaller one
            of 1 and trust_coefficient · ‖w‖ / (‖gradient‖ + weight_decay · ‖w‖) / lr.
    """

    def __init__(
        self,
        params: list[dict[str, Any]],
        *,
        lr: Annotated[float, Gt(0)] = 0.3,
        momentum: Annotated[float, Ge(0), Lt(1)] = 0.9,
        weight_decay: Annotated[float, Ge(0)] = 0.0,
        trust_ratio: bool = True,
        trust_coefficient: Annotated[float, Gt(0)] = 0.001,
        clip: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "trust_ratio": trust_ratio,
                "trust_coefficient": trust_coefficient,
                "clip": clip,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the weights by one step; those without a gradient stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)
        return loss

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        change = weight.grad
        assert change is not None
        if group["weight_decay"]:
            change = change.add(weight, alpha=group["weight_decay"])
        if group["trust_ratio"]:
            change = change * _ratio(weight, change, group)
        if group["momentum"]:
            state = self.state[weight]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(weight)
            change = state["momentum_buffer"].mul_(group["momentum"]).add_(change)
        weight.add_(change, alpha=-group["lr"])


def _ratio(weight: Tensor, change: Tensor, group: dict[str, Any]) -> Tensor:
    """Return the trust ratio, a scalar."""
    length = torch.linalg.vector_norm(weight)
    if group["clip"]:
        assert weight.grad is not None
        against = torch.linalg.vector_norm(weight.grad) + group["weight_decay"] * length
    else:
        against = torch.linalg.vector_norm(change)
    ratio = group["trust_coefficient"] * length / against
    if group["clip"]:
        ratio = (ratio / group["lr"]).clamp(max=1)
    return torch.where((length > 0) & (against > 0), ratio, torch.ones_like(ratio))
