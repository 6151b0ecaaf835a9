"""Schedule-free optimizers, from the package `schedulefree`."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt

_Share = Annotated[float, Ge(0), Lt(1)]


def sgd(
    params: list[dict[str, Any]],
    *,
    lr: Annotated[float, Gt(0)] = 1.0,
    momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
    weight_decay: Annotated[float, Ge(0)] = 0.0,
) -> torch.optim.Optimizer:
    """Make a schedule-free SGD (Defazio et al. 2024); its schedule should be constant.

    Args:
        params: groups of parameters.
        lr: learning rate.
        momentum: place of the gradient between the average and the last point.
        weight_decay: part of a weight that a step takes away, in units of the learning rate.
    """
    made: torch.optim.Optimizer = _library().SGDScheduleFree(
        params, lr=lr, momentum=momentum, weight_decay=weight_decay
    )
    return made


def adamw(
    params: list[dict[str, Any]],
    *,
    lr: Annotated[float, Gt(0)] = 2.5e-3,
    betas: tuple[Annotated[float, Gt(0), Lt(1)], _Share] = (0.9, 0.999),
    eps: Annotated[float, Gt(0)] = 1e-8,
    weight_decay: Annotated[float, Ge(0)] = 0.0,
) -> torch.optim.Optimizer:
    """Make a schedule-free AdamW (Defazio et al. 2024); its schedule should be constant.

    Args:
        params: groups of parameters.
        lr: learning rate.
        betas: place of the gradient between the average and the last point, and decay of the
            running average of the squared gradient.
        eps: added to the denominator.
        weight_decay: part of a weight that a step takes away, in units of the learning rate.
    """
    made: torch.optim.Optimizer = _library().AdamWScheduleFree(
        params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay
    )
    return made


def _library() -> Any:
    try:
        return importlib.import_module("schedulefree")
    except ImportError as error:
        raise ValueError(
            f"it needs a library that is not installed ({error}): pip install "
            "'sslcore[schedule-free]'"
        ) from error
