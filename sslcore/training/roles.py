"""The roles of parameters: stage, kind, and what a part's class names them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from sslcore.contract.training_parts import BIAS, NORM, PARAMETER_ROLES, WEIGHT
from sslcore.pipeline.pipeline import Pipeline


def roles_of(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """Return the roles of each parameter of the stages, by its name in the pipeline.

    The roles are its stage, its kind (weight, bias or norm) and those that its part's class names,
    in this order.
    """
    norms = {
        f"{prefix}.{name}"
        for prefix, module in pipeline.named_modules()
        if _is_norm(module)
        for name, _ in module.named_parameters(recurse=False)
    }
    found: dict[str, tuple[str, ...]] = {}
    for name, weight in pipeline.named_parameters():
        stage, _, own = name.partition(".")
        part = getattr(pipeline, stage)
        bias = weight.dim() < 2 and own.rpartition(".")[2].endswith(BIAS)
        kind = NORM if name in norms else BIAS if bias else WEIGHT
        found[name] = (stage, kind, *_named(part, own))
    return found


def _is_norm(module: nn.Module) -> bool:
    """Whether the class of a layer, or a base of it, is named a norm, as all of torch's are."""
    return any("norm" in base.__name__.casefold() for base in type(module).__mro__)


def _named(part: nn.Module, name: str) -> tuple[str, ...]:
    roles = getattr(part, PARAMETER_ROLES, {})
    if not isinstance(roles, Mapping):
        return ()
    return tuple(
        role
        for beginning, role in roles.items()
        if name == beginning or name.startswith(f"{beginning}.")
    )
