"""Valid and malformed examples for families of losses over pairs of views (2, N, D)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sslcore.testing.losses.draws import fixed, without_zero_rows
from sslcore.testing.losses.example import Example, Inputs

#: (N, D, temperature): small ones first, then sizes at which chunks and strides go wrong.
_SIZES = (
    (2, 2, 0.5),
    (2, 3, 1.0),
    (3, 4, 0.1),
    (4, 3, 0.5),
    (2, 1, 0.5),
    (5, 8, 0.07),
    (7, 2, 2.0),
    (8, 16, 0.2),
    (3, 5, 10.0),
    (6, 4, 0.01),
    (4, 4, 0.003),
    (5, 4, 0.003),
    (33, 5, 0.5),
    (65, 8, 0.3),
    (4, 200, 0.5),
    (3, 128, 0.5),
    (130, 4, 0.5),
    (2, 1030, 0.5),
    (300, 3, 0.5),
)

_HUGE = {"float64": 1e160, "float32": 1e20, "bfloat16": 1e20, "float16": 2e4}
_TINY = {"float64": 1e-160, "float32": 1e-20, "bfloat16": 1e-20, "float16": 1e-4}


def pair_anchors() -> Sequence[Example]:
    """Return fixed pairs of views; in some, the second is near the first."""
    found: list[Example] = []
    for position, (count, dim, temperature) in enumerate(_SIZES):
        pair = fixed("pair", 2, count, dim)
        if position % 3 == 1:
            pair = torch.stack([pair[0], pair[0] + 0.3 * pair[1]])
        found.append(Example({"projections": pair}, {"temperature": temperature}))
    alike = fixed("pair", 1, 3, 4).expand(2, -1, -1).clone()
    found.insert(4, Example({"projections": alike}, {"temperature": 0.5}, "both views alike"))
    lengths = torch.tensor([[1e-3, 10.0, 0.02, 1.0], [1.0, 1e-2, 30.0, 0.05]]).double()
    uneven = fixed("pair", 2, 4, 3) * lengths[..., None]
    found.insert(5, Example({"projections": uneven}, {"temperature": 0.5}, "short and long rows"))
    twins = fixed("pair", 2, 1, 4).expand(-1, 3, -1).clone()
    found.insert(5, Example({"projections": twins}, {"temperature": 0.2}, "all images alike"))
    return found


def pair_degenerate(dtype: str) -> Mapping[str, Example]:
    """Return pairs with zero, huge and tiny rows for a type."""
    # Numbers of few digits, since a failure prints them.
    pair = without_zero_rows((fixed("pair", 2, 2, 3) * 4).round() / 4)
    hyper = {"temperature": 0.5}
    one_zero, all_zero = pair.clone(), torch.zeros_like(pair)
    one_zero[0, 1] = 0
    huge, tiny = pair / pair.abs().max() * _HUGE[dtype], pair / pair.abs().max() * _TINY[dtype]
    mixed = pair.clone()
    mixed[0, 0], mixed[1, 1] = huge[0, 0], tiny[1, 1]
    return {
        "a zero row": Example({"projections": one_zero}, hyper),
        "all rows zero": Example({"projections": all_zero}, hyper),
        "huge rows": Example({"projections": huge}, hyper),
        "tiny rows": Example({"projections": tiny}, hyper),
        "huge and tiny rows": Example({"projections": mixed}, hyper),
        "all rows alike": Example({"projections": pair[:1, :1].expand(2, 2, 3).clone()}, hyper),
        "a low temperature": Example({"projections": pair}, {"temperature": _LOWEST[dtype]}),
    }


#: Temperatures at which e^(1/τ) overflows, except in bfloat16 and float16.
_LOWEST = {"float64": 1e-3, "float32": 5e-3, "bfloat16": 5e-3, "float16": 0.05}

#: Degenerate examples with a finite gradient: the exact gradient grows as 1/‖z‖.
MODERATE = ("a zero row", "all rows zero", "all rows alike", "a low temperature")


def pair_single() -> Example:
    """Return one pair."""
    return Example({"projections": fixed("pair", 2, 1, 3)}, {"temperature": 0.5})


def pair_malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return malformed stacked views."""
    pair = inputs["projections"]
    return {
        "an empty batch": {"projections": pair[:, :0]},
        "rows that are not vectors": {"projections": pair[:, :, 0]},
        "one tensor of one dimension": {"projections": pair[0, 0]},
    }


def pair_plain(inputs: Inputs) -> Sequence[tuple[Tensor, ...]]:
    """Return the two views."""
    first, second = inputs["projections"]
    return [(first, second)]


def pair_plain_malformed(inputs: Inputs) -> Mapping[str, tuple[Tensor, ...]]:
    """Return two views whose shapes don't match."""
    first, second = inputs["projections"]
    return {
        "another number of samples": (first, second[:-1]),
        "one sample against several": (first, second[:1]),
        "several samples against one": (first[:1], second),
        "another dimension": (first, second[:, :-1]),
        "one dimension against several": (first, second[:, :1]),
        "a vector instead of a batch": (first, second[0]),
        "vectors of one dimension": (first[:, 0], second[:, 0]),
        "an empty batch": (first[:0], second[:0]),
    }
