"""Strategies for tensors: entries on a small grid, so that they shrink fast and fit every type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from sslcore.random import generator_for
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.family import HyperRange

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: Entries are whole multiples of this, and exact in every floating-point type.
_GRID = 0.25
_LARGEST = 12

#: What is special about a drawn pair of views; plain ones first, since examples shrink to them.
GEOMETRIES = (
    "plain",
    "plain",
    "plain",
    "two images alike",
    "both views alike",
    "opposite views",
    "all alike",
    "orthonormal",
    "of very different lengths",
)


def tensors(*shape: int) -> SearchStrategy[Tensor]:
    """Return a strategy of float64 tensors of a shape."""
    # Without a fill, which would make every third matrix nearly constant.
    grid = hnp.arrays(np.int8, shape, elements=st.integers(-_LARGEST, _LARGEST), fill=st.nothing())
    return grid.map(lambda values: torch.from_numpy(values).double() * _GRID)


def hypers(ranges: Mapping[str, HyperRange]) -> SearchStrategy[dict[str, float]]:
    """Return a strategy of hyperparameters, defaults first."""
    return st.fixed_dictionaries({name: item.strategy() for name, item in ranges.items()})


def without_zero_rows(rows: Tensor) -> Tensor:
    """Return rows (..., D) with a 1 in each row that was all zeros.

    A repair costs no draws; a rejection would.
    """
    flat = rows.flatten(0, -2)
    zero = (flat == 0).all(-1)
    position = torch.arange(len(flat)) % flat.shape[-1]
    unit = torch.nn.functional.one_hot(position, flat.shape[-1]).to(flat)
    return torch.where(zero[:, None], unit, flat).view_as(rows)


def irregular(*shape: int) -> Tensor:
    """Return small numbers without any symmetry, the same ones each time."""
    index = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return (torch.sin(index * 1.7 + 0.3) * 0.1).view(shape)


def shaped(pair: Tensor, geometry: str) -> Tensor:
    """Return a pair of views (2, N, D) with a geometry and without zero rows."""
    pair = without_zero_rows(pair)
    count, dim = pair.shape[1:]
    if geometry == "two images alike":
        return torch.cat([pair[:, :1], pair[:, :1], pair[:, 2:]], 1)
    if geometry == "both views alike":
        return pair[:1].expand(2, -1, -1).clone()
    if geometry == "opposite views":
        return torch.stack([pair[0], -pair[0]])
    if geometry == "all alike":
        return pair[:1, :1].expand(2, count, dim).clone()
    if geometry == "orthonormal":
        unit = torch.nn.functional.one_hot(torch.arange(count) % dim, dim).double()
        return unit.expand(2, -1, -1).clone()
    if geometry == "of very different lengths":
        lengths = 2.0 ** ((torch.arange(2 * count) * 3) % 7 - 3).double()
        return pair * lengths.view(2, count, 1)
    return pair


def pairs(
    ranges: Mapping[str, HyperRange],
    *,
    name: str = "projections",
    count: tuple[int, int] = (2, 6),
    dim: tuple[int, int] = (1, 5),
    geometries: Sequence[str] = GEOMETRIES,
) -> SearchStrategy[Example]:
    """Return a strategy of pairs of views (2, N, D) with hyperparameters."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        size, width = draw(st.integers(*count)), draw(st.integers(*dim))
        geometry = draw(st.sampled_from(geometries))
        pair = shaped(draw(tensors(2, size, width)), geometry)
        if draw(st.booleans()):
            pair = pair + irregular(*pair.shape)
        return Example({name: pair}, draw(hypers(ranges)), geometry)

    return drawn()


def fixed(key: str, *shape: int) -> Tensor:
    """Return standard normal float64 numbers that depend on the key and shape alone."""
    generator = generator_for("anchor", key, *shape)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
