"""Muon: momentum made orthogonal, for the matrices of hidden layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

#: The polynomial whose iteration takes all singular values near 1 (Jordan et al. 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)

Group = dict[str, Any]


class Muon(torch.optim.Optimizer):
    """Muon for the matrices of hidden layers, and AdamW for the rest (Jordan et al. 2024).

    A step in a matrix is its momentum with all singular values near 1, scaled by
    0.2 · √(largest side) to the size of a step of AdamW (Liu et al. 2025, equation (4)), so that
    one learning rate and weight decay suit both. A kernel of a convolution is a matrix of its
    output channels. AdamW moves vectors, the first matrix of the encoder, prototypes, position
    embeddings, and the parameters of the loss.

    Args:
        params: groups of parameters, with the roles of each.
        lr: learning rate.
        weight_decay: part of a weight that a step takes away, in units of the learning rate.
        momentum: factor of the last momentum in the next one, for matrices.
        nesterov: whether the gradient counts once more, for matrices.
        iterations: of the polynomial that makes a matrix orthogonal.
        betas: decay of the running averages of AdamW.
        eps: added to the denominator of AdamW.
    """

    def __init__(
        self,
        params: list[Group],
        *,
        lr: Annotated[float, Gt(0)] = 1e-3,
        weight_decay: Annotated[float, Ge(0)] = 0.1,
        momentum: Annotated[float, Ge(0), Lt(1)] = 0.95,
        nesterov: bool = True,
        iterations: Annotated[int, Ge(1)] = 5,
        betas: tuple[Annotated[float, Ge(0), Lt(1)], Annotated[float, Ge(0), Lt(1)]] = (0.9, 0.95),
        eps: Annotated[float, Gt(0)] = 1e-8,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "iterations": iterations,
            "betas": betas,
            "eps": eps,
        }
        super().__init__(list(_by_use(params)), defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the weights by one step; those without a gradient stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            move = self._turn if group["hidden"] else self._adamw
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(move(weight, weight.grad, group), alpha=-group["lr"])
        return loss

    def _turn(self, weight: Tensor, gradient: Tensor, group: Group) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        momentum: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        change = gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
        matrix = change.flatten(1)
        size: float = 0.2 * max(matrix.shape) ** 0.5
        return orthogonal(matrix, group["iterations"]).reshape(weight.shape) * size

    def _adamw(self, weight: Tensor, gradient: Tensor, group: Group) -> Tensor:
        state = self.state[weight]
        if not state:
            state["steps"] = 0
            state["mean"] = torch.zeros_like(weight)
            state["square"] = torch.zeros_like(weight)
        state["steps"] += 1
        first, second = group["betas"]
        mean: Tensor = state["mean"].lerp_(gradient, 1 - first)
        square: Tensor = state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        size = (square / (1 - second ** state["steps"])).sqrt_().add_(group["eps"])
        change: Tensor = mean / (1 - first ** state["steps"]) / size
        return change


def orthogonal(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Return a matrix (n, m) with its singular values near 1, by Newton-Schulz iterations."""
    a, b, c = _COEFFICIENTS
    # A matrix is computed with its short side first, where the products are small.
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    found: Tensor = wide / (torch.linalg.matrix_norm(wide) + 1e-7)
    for _ in range(iterations):
        product = found @ found.T
        found = a * found + (b * product + c * product @ product) @ found
    return found.T if matrix.shape[0] > matrix.shape[1] else found


def _by_use(groups: list[Group]) -> Iterator[Group]:
    """Yield each group in two: the matrices of hidden layers, and the rest."""
    first = True
    for group in groups:
        weights = list(group["params"])
        names = group.get("names", [""] * len(weights))
        roles = group.get("roles", [()] * len(weights))
        halves: dict[bool, Group] = {}
        for weight, name, own in zip(weights, names, roles, strict=True):
            hidden = _is_matrix(weight) and not {"loss", "prototypes"} & set(own)
            if hidden and "encoder" in own and first:
                hidden = first = False
            half = halves.setdefault(
                hidden, {**group, "params": [], "names": [], "roles": [], "hidden": hidden}
            )
            half["params"].append(weight)
            half["names"].append(name)
            half["roles"].append(own)
        yield from halves.values()


def _is_matrix(weight: Tensor) -> bool:
    # Class tokens and position embeddings begin with an axis of length 1.
    return weight.dim() > 1 and weight.shape[0] > 1 and weight[0].numel() > 1
