"""The optimizers of `torch.optim`, with the bounds of their settings.

LBFGS and SparseAdam are left out: the first needs another loop, the second sparse gradients.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le, Lt

Groups = list[dict[str, Any]]

_Positive = Annotated[float, Gt(0)]
_NotNegative = Annotated[float, Ge(0)]
_Share = Annotated[float, Ge(0), Lt(1)]
_Betas = tuple[_Share, _Share]


def adadelta(
    params: Groups,
    *,
    lr: _Positive = 1.0,
    rho: Annotated[float, Ge(0), Le(1)] = 0.9,
    eps: _NotNegative = 1e-6,
    weight_decay: _NotNegative = 0.0,
) -> torch.optim.Optimizer:
    """Make an Adadelta (Zeiler 2012).

    Args:
        params: groups of parameters.
        lr: learning rate.
        rho: decay of the running averages.
        eps: added to the denominator.
        weight_decay: factor of the weights that is added to the gradient.
    """
    return torch.optim.Adadelta(params, lr, rho, eps, weight_decay)


def adafactor(
    params: Groups,
    *,
    lr: _Positive = 1e-2,
    beta2_decay: Annotated[float, Le(0)] = -0.8,
    eps: tuple[_NotNegative | None, _NotNegative] = (None, 1e-3),
    d: Annotated[float, Ge(1)] = 1.0,
    weight_decay: _NotNegative = 0.0,
) -> torch.optim.Optimizer:
    """Make an Adafactor (Shazeer & Stern 2018).

    Args:
        params: groups of parameters.
        lr: learning rate.
        beta2_decay: exponent by which the second moment forgets.
        eps: added to the squared gradient, where none is the precision of the numbers; and the
            least size of a step.
        d: threshold above which updates are clipped.
        weight_decay: part of a weight that a step takes away, in units of the learning rate.
    """
    return torch.optim.Adafactor(params, lr, beta2_decay, eps, d, weight_decay)


def adagrad(
    params: Groups,
    *,
    lr: _Positive = 1e-2,
    lr_decay: _NotNegative = 0.0,
    weight_decay: _NotNegative = 0.0,
    initial_accumulator_value: _NotNegative = 0.0,
    eps: _NotNegative = 1e-10,
) -> torch.optim.Optimizer:
    """Make an Adagrad (Duchi, Hazan & Singer 2011).

    Args:
        params: groups of parameters.
        lr: learning rate.
        lr_decay: decay of the learning rate.
        weight_decay: factor of the weights that is added to the gradient.
        initial_accumulator_value: first sum of squared gradients.
        eps: added to the denominator.
    """
    return torch.optim.Adagrad(params, lr, lr_decay, weight_decay, initial_accumulator_value, eps)


def adam(
    params: Groups,
    *,
    lr: _Positive = 1e-3,
    betas: _Betas = (0.9, 0.999),
    eps: _Positive = 1e-8,
    weight_decay: _NotNegative = 0.0,
    amsgrad: bool = False,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """Make an Adam (Kingma & Ba 2015).

    Args:
        params: groups of parameters.
        lr: learning rate.
        betas: decay of the running averages of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: factor of the weights that is added to the gradient.
        amsgrad: whether the second moment never decreases.
        fused: whether all weights move in one pass.
    """
    return torch.optim.Adam(params, lr, betas, eps, weight_decay, amsgrad, fused=fused or None)


def adamax(
    params: Groups,
    *,
    lr: _Positive = 2e-3,
    betas: _Betas = (0.9, 0.999),
    eps: _Positive = 1e-8,
    weight_decay: _NotNegative = 0.0,
) -> torch.optim.Optimizer:
    """Make an Adamax (Kingma & Ba 2015).

    Args:
        params: groups of parameters.
        lr: learning rate.
        betas: decay of the running average of the gradient and of its largest size.
        eps: added to the denominator.
        weight_decay: factor of the weights that is added to the gradient.
    """
    return torch.optim.Adamax(params, lr, betas, eps, weight_decay)


def adamw(
    params: Groups,
    *,
    lr: _Positive = 1e-3,
    betas: _Betas = (0.9, 0.999),
    eps: _Positive = 1e-8,
    weight_decay: _NotNegative = 1e-2,
    amsgrad: bool = False,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """Make an AdamW (Loshchilov & Hutter 2019).

    Args:
        params: groups of parameters.
        lr: learning rate.
        betas: decay of the running averages of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: part of a weight that a step takes away, in units of the learning rate.
        amsgrad: whether the second moment never decreases.
        fused: whether all weights move in one pass.
    """
    return torch.optim.AdamW(params, lr, betas, eps, weight_decay, amsgrad, fused=fused or None)


def asgd(
    params: Groups,
    *,
    lr: _Positive = 1e-2,
    lambd: _NotNegative = 1e-4,
    alpha: _NotNegative = 0.75,
    t0: _NotNegative = 1e6,
    weight_decay: _NotNegative = 0.0,
) -> torch.optim.Optimizer:
    """Make an averaged stochastic gradient descent (Polyak & Juditsky 1992).

    Args:
        params: groups of parameters.
        lr: learning rate.
        lambd: decay of the weights.
        alpha: power of the decay of the learning rate.
        t0: step at which the average begins.
        weight_decay: factor of the weights that is added to the gradient.
    """
    return torch.optim.ASGD(params, lr, lambd, alpha, t0, weight_decay)


def nadam(
    params: Groups,
    *,
    lr: _Positive = 2e-3,
    betas: _Betas = (0.9, 0.999),
    eps: _Positive = 1e-8,
    weight_decay: _NotNegative = 0.0,
    momentum_decay: _NotNegative = 4e-3,
    decoupled_weight_decay: bool = False,
) -> torch.optim.Optimizer:
    """Make a NAdam (Dozat 2016).

    Args:
        params: groups of parameters.
        lr: learning rate.
        betas: decay of the running averages of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: factor of the weights that is added to the gradient.
        momentum_decay: decay of the momentum.
        decoupled_weight_decay: whether weights decay apart from the gradient, as in AdamW.
    """
    return torch.optim.NAdam(
        params, lr, betas, eps, weight_decay, momentum_decay, decoupled_weight_decay
    )


def radam(
    params: Groups,
    *,
    lr: _Positive = 1e-3,
    betas: _Betas = (0.9, 0.999),
    eps: _Positive = 1e-8,
    weight_decay: _NotNegative = 0.0,
    decoupled_weight_decay: bool = False,
) -> torch.optim.Optimizer:
    """Make a RAdam (Liu et al. 2020).

    Args:
        params: groups of parameters.
        lr: learning rate.
        betas: decay of the running averages of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: factor of the weights that is added to the gradient.
        decoupled_weight_decay: whether weights decay apart from the gradient, as in AdamW.
    """
    return torch.optim.RAdam(params, lr, betas, eps, weight_decay, decoupled_weight_decay)


def rmsprop(
    params: Groups,
    *,
    lr: _Positive = 1e-2,
    alpha: Annotated[float, Ge(0), Le(1)] = 0.99,
    eps: _Positive = 1e-8,
    weight_decay: _NotNegative = 0.0,
    momentum: _NotNegative = 0.0,
    centered: bool = False,
) -> torch.optim.Optimizer:
    """Make an RMSprop (Tieleman & Hinton 2012).

    Args:
        params: groups of parameters.
        lr: learning rate.
        alpha: decay of the running average of the squared gradient.
        eps: added to the denominator.
        weight_decay: factor of the weights that is added to the gradient.
        momentum: factor of the last step in the next one.
        centered: whether the gradient's variance takes the place of its square.
    """
    return torch.optim.RMSprop(params, lr, alpha, eps, weight_decay, momentum, centered)


def rprop(
    params: Groups,
    *,
    lr: _Positive = 1e-2,
    etas: tuple[Annotated[float, Gt(0), Lt(1)], Annotated[float, Gt(1)]] = (0.5, 1.2),
    step_sizes: tuple[_NotNegative, _Positive] = (1e-6, 50.0),
) -> torch.optim.Optimizer:
    """Make an Rprop (Riedmiller & Braun 1993); it is for gradients without noise.

    Args:
        params: groups of parameters.
        lr: size of the first step.
        etas: factors by which a step shrinks and grows.
        step_sizes: the least and the greatest step.
    """
    return torch.optim.Rprop(params, lr, etas, step_sizes)


def sgd(
    params: Groups,
    *,
    lr: _Positive = 1e-3,
    momentum: _NotNegative = 0.0,
    dampening: _NotNegative = 0.0,
    weight_decay: _NotNegative = 0.0,
    nesterov: bool = False,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """Make a stochastic gradient descent.

    Args:
        params: groups of parameters.
        lr: learning rate.
        momentum: factor of the last step in the next one.
        dampening: part of the gradient that the momentum leaves out.
        weight_decay: factor of the weights that is added to the gradient.
        nesterov: whether the gradient is taken ahead of the step; it needs momentum, and no
            dampening.
        fused: whether all weights move in one pass.
    """
    return torch.optim.SGD(
        params, lr, momentum, dampening, weight_decay, nesterov, fused=fused or None
    )
