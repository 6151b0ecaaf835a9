"""Optimizers of `torch.optim`, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from sslcore.contract.settings import Setting, settings_of
from sslcore.errors import UsageError, nearest

_NAMES = {
    name.casefold(): name
    for name in dir(torch.optim)
    if isinstance(getattr(torch.optim, name), type)
    and issubclass(getattr(torch.optim, name), torch.optim.Optimizer)
    and name not in ("Optimizer", "SparseAdam", "LBFGS")
}

#: Those with a form that moves all weights in one pass, on the CPU and on CUDA.
_FUSED = ("SGD", "Adam", "AdamW")
_FUSED_ON = {"cpu", "cuda"}

#: Bounds that torch checks only when the optimizer is built, or not at all.
_BOUNDS: dict[str, Any] = {
    "lr": Annotated[float, Gt(0)],
    "momentum": Annotated[float, Ge(0)],
    "weight_decay": Annotated[float, Ge(0)],
    "dampening": Annotated[float, Ge(0)],
    "eps": Annotated[float, Gt(0)],
}


def find_optimizer(name: str) -> tuple[str, type[torch.optim.Optimizer]]:
    """Return an optimizer of torch.optim, whatever the case of `name`, and its proper name.

    Raises:
        UsageError: there is none of that name (LBFGS and SparseAdam need another loop).
    """
    proper = _NAMES.get(name.casefold())
    if proper is None:
        raise UsageError(
            f"optimizer.name: torch.optim has no {name!r}{nearest(name, _NAMES.values())}; "
            f"it has {', '.join(sorted(_NAMES.values()))}"
        )
    return proper, getattr(torch.optim, proper)


def build_optimizer(
    name: str,
    groups: Sequence[tuple[Sequence[Tensor], float]],
    settings: Mapping[str, Any],
) -> torch.optim.Optimizer:
    """Build an optimizer, the fused form of it where there is one for these parameters.

    Args:
        name: the optimizer.
        groups: parameters, with the factor of their learning rate.
        settings: of the optimizer.

    Raises:
        UsageError: there is none of that name, or it refuses its settings.
    """
    proper, optimizer = find_optimizer(name)
    devices = {each.device.type for parameters, _ in groups for each in parameters}
    fused: dict[str, Any] = {"fused": True} if proper in _FUSED and devices <= _FUSED_ON else {}
    try:
        built = optimizer([{"params": list(each)} for each, _ in groups], **settings, **fused)
    except Exception as error:
        raise UsageError(f"optimizer {name}: {error}") from error
    for group, (_, factor) in zip(built.param_groups, groups, strict=True):
        group["lr"] = group["lr"] * factor
    return built


def optimizer_settings(optimizer: type[torch.optim.Optimizer]) -> dict[str, Setting]:
    """Return the settings of an optimizer."""
    skip = frozenset({"params", "foreach", "maximize", "capturable", "differentiable", "fused"})
    found = settings_of(optimizer, skip=skip)
    for name, setting in found.items():
        # Adafactor's eps is a pair, which these bounds say nothing of.
        if name in _BOUNDS and not isinstance(setting.default, tuple):
            found[name] = Setting(name, _BOUNDS[name], setting.default)
    return found
