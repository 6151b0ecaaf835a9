"""Layers that the heads of several methods share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from torch import nn

#: The activation by default.
_RELU = partial(nn.ReLU, inplace=True)


def perceptron(
    widths: Sequence[int],
    *,
    batch_norm: bool = False,
    norm_output: bool = False,
    activation: Callable[[], nn.Module] = _RELU,
) -> nn.Sequential:
    """Return a multilayer perceptron, from (N, widths[0]) to (N, widths[-1]).

    A layer before batch normalisation has no bias, because the normalisation would subtract it.

    Args:
        widths: of the input, of each hidden layer, and of the output; at least two.
        batch_norm: whether each hidden layer is normalised over the batch before its activation.
        norm_output: whether the output is normalised over the batch, without a learned scale or
            shift (as in Chen & He 2021, section 3, and Chen, Xie & He 2021, section 4).
        activation: constructs the activation after each hidden layer.

    Raises:
        ValueError: there are fewer than two widths.
    """
    if len(widths) < 2:
        raise ValueError(f"widths: expected at least two, input and output, got {tuple(widths)}")
    layers: list[nn.Module] = []
    hidden = len(widths) - 2
    for position, (before, after) in enumerate(pairwise(widths)):
        last = position == hidden
        normalised = norm_output if last else batch_norm
        layers.append(nn.Linear(before, after, bias=not normalised))
        if normalised:
            layers.append(nn.BatchNorm1d(after, affine=not last))
        if not last:
            layers.append(activation())
    return nn.Sequential(*layers)
