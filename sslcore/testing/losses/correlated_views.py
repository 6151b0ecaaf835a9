"""Examples for losses of the statistics of each dimension over the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

from sslcore.testing.losses.draws import fixed, hypers, irregular, tensors
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import HyperRange

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_GEOMETRIES = (
    "plain",
    "plain",
    "near",
    "both views alike",
    "opposite views",
    "a dimension twice",
    "dimensions of very different scales",
)
#: A deviation below this may be the rounding error of a constant.
_SMALLEST = 0.2


def with_spread(pair: Tensor) -> Tensor:
    """Return views (2, N, D) with a 1 added in each dimension that was nearly constant."""
    flat = pair.std(1, unbiased=False) < _SMALLEST
    index = torch.arange(pair.shape[1])[:, None]
    bump = (index == torch.arange(pair.shape[2]) % pair.shape[1]).to(pair)
    return pair + bump * flat[:, None]


def _shaped(pair: Tensor, geometry: str) -> Tensor:
    if geometry == "near":
        return torch.stack([pair[0], pair[0] + pair[1] / 8])
    if geometry == "both views alike":
        return pair[:1].expand(2, -1, -1).clone()
    if geometry == "opposite views":
        return torch.stack([pair[0], -pair[0]])
    if geometry == "a dimension twice":
        return torch.cat([pair[..., :1], pair[..., :-1]], -1)
    if geometry == "dimensions of very different scales":
        return pair * 2.0 ** ((torch.arange(pair.shape[2]) * 3) % 7 - 1).double()
    return pair


def drawn_views(ranges: Mapping[str, HyperRange], *, fewest: int = 3) -> SearchStrategy[Example]:
    """Return a strategy of views (2, N, D) in which no dimension is constant."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        count, dim = draw(st.integers(fewest, 6)), draw(st.integers(1, 4))
        geometry = draw(st.sampled_from(_GEOMETRIES))
        pair = with_spread(draw(tensors(2, count, dim)))
        pair = with_spread(_shaped(pair, geometry))
        if draw(st.booleans()):
            pair = with_spread(pair + irregular(*pair.shape))
        return Example({"projections": pair}, draw(hypers(ranges)), geometry)

    return drawn()


_SIZES = (
    (3, 2),
    (4, 1),
    (5, 3),
    (4, 4),
    (2, 3),
    (8, 6),
    (33, 5),
    (6, 17),
    (130, 4),
    (5, 70),
    (300, 2),
)


def fixed_views() -> Sequence[Tensor]:
    """Return fixed views (2, N, D), small ones first; in some, the second is near the first."""
    found = []
    for position, (count, dim) in enumerate(_SIZES):
        pair = fixed("views", 2, count, dim)
        if position % 3 == 1:
            pair = torch.stack([pair[0], pair[0] + 0.3 * pair[1]])
        if position % 3 == 2:
            pair = pair * 2 + 3
        found.append(with_spread(pair))
    return found


def columns(count: int, number: int) -> Tensor:
    """Return columns (N, number) of mean 0 and mean square 1, orthogonal to one another."""
    start = torch.cat(
        [torch.ones(count, 1, dtype=torch.float64), fixed("columns", count, number)], 1
    )
    result: Tensor = torch.linalg.qr(start)[0][:, 1:] * count**0.5
    return result


def malformed_views(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return projections that are not two views of a batch."""
    pair = inputs["projections"]
    return {
        "an empty batch": {"projections": pair[:, :0]},
        "rows that are not vectors": {"projections": pair[:, :, 0]},
        "one tensor of one dimension": {"projections": pair[0, 0]},
        "a single view": {"projections": pair[:1]},
    }
