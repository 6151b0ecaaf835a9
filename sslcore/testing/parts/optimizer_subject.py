"""The optimizer under test: it moves made-up weights towards the minimum of a quadratic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sslcore.contract.training_parts import own_interface
from sslcore.testing.parts.spec import OptimizerSpec
from sslcore.testing.parts.subject import PartExample, PartSubject
from sslcore.testing.violation import Violation

#: Weights by name, with their shapes and roles: a matrix, a kernel, a scale and a bias.
_WEIGHTS = {
    "encoder.0.weight": ((3, 2, 2, 2), ("encoder", "weight")),
    "encoder.1.weight": ((3,), ("encoder", "norm")),
    "head.0.weight": ((4, 6), ("head", "weight")),
    "head.0.bias": ((4,), ("head", "bias")),
}
#: Curvatures of the quadratic go from 1 to this.
_STEEPEST = 4.0


class Problem:
    """f(w) = ½ Σ a (w − t)², with weights w that begin at 2 t.

    Attributes:
        weights: by name.
    """

    def __init__(self) -> None:
        draws = torch.Generator().manual_seed(0)
        self.weights: dict[str, Tensor] = {}
        self._targets: dict[str, Tensor] = {}
        for name, (shape, _) in _WEIGHTS.items():
            target = torch.randn(shape, generator=draws)
            self._targets[name] = target
            self.weights[name] = torch.nn.Parameter(2 * target)

    def loss(self) -> float:
        """Return f(w), and set the gradients."""
        found = 0.0
        for name, weight in self.weights.items():
            off = weight.detach() - self._targets[name]
            curvature = torch.linspace(1, _STEEPEST, off.numel()).view(off.shape)
            weight.grad = curvature * off
            found += float((curvature * off**2).sum()) / 2
        return found

    def groups(self, *named: Sequence[str]) -> list[dict[str, Any]]:
        """Return groups of the weights of these names, as the engine makes them."""
        return [
            {
                "params": [self.weights[name] for name in names],
                "names": list(names),
                "roles": [_WEIGHTS[name][1] for name in names],
            }
            for names in named or [tuple(self.weights)]
        ]

    def values(self) -> dict[str, Tensor]:
        """Return copies of the weights."""
        return {name: weight.detach().clone() for name, weight in self.weights.items()}


class OptimizerSubject(PartSubject):
    """An optimizer, as the properties see it."""

    spec: OptimizerSpec

    def __init__(self, spec: OptimizerSpec) -> None:
        super().__init__(spec)
        self.interface = own_interface("optimizer", self.interface)

    def optimizer(
        self, groups: list[dict[str, Any]], example: PartExample, **more: Any
    ) -> torch.optim.Optimizer:
        """Return a new optimizer of groups, in training mode.

        Raises:
            Refused: it refused settings that were drawn.
            Violation: it raised an error, or is no optimizer.
        """
        settings = {**self.arguments({}, example), **more}
        code = self.code(settings)
        made = self.guarded(lambda: self.spec.make(groups, **settings), code, example)
        if not isinstance(made, torch.optim.Optimizer):
            raise Violation(f"it is no torch.optim.Optimizer but a {type(made).__name__}", code)
        if callable(train := getattr(made, "train", None)):
            train()
        return made

    def code(self, settings: Mapping[str, Any]) -> str:
        """Return Python code that makes the optimizer."""
        given = "".join(f", {name}={value!r}" for name, value in settings.items())
        return f"{self.name}(groups{given})"

    def step(
        self, optimizer: torch.optim.Optimizer, problem: Problem, example: PartExample
    ) -> float:
        """Move the weights by one step, and return the loss before it."""
        loss = problem.loss()
        self.guarded(optimizer.step, f"{self.name}.step()", example)
        return loss


def can_be_made(subject: OptimizerSubject) -> str:
    """Its library is installed."""
    try:
        subject.optimizer(Problem().groups(), PartExample())
    except Violation as error:
        cause = error.__cause__
        if isinstance(cause, ValueError) and isinstance(cause.__cause__, ImportError):
            return str(cause)
        raise
    return ""
