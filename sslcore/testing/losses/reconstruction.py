"""The family `reconstruction`: mean squared error (Vincent et al. 2010, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

from sslcore.testing.losses.draws import fixed, irregular, tensors
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.extremes import LARGE, TINY
from sslcore.testing.losses.family import Family, Hyper, HyperRange, register_family
from sslcore.testing.losses.reconstruction_mutants import CONTROL, MUTANTS, SIGNALS
from sslcore.testing.losses.reconstruction_properties import RECONSTRUCTION_PROPERTIES

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return ⟨d, d⟩ / n for the n differences d."""
    difference = (inputs["reconstructions"] - inputs["targets"]).flatten()
    return difference @ difference / len(difference)


def given(signals: Inputs, taken: frozenset[str]) -> Inputs:
    """Return the arguments of a loss; a loss without targets compares with the views."""
    if "targets" not in taken:
        signals = {**signals, "views": signals["targets"]}
    return {name: item for name, item in signals.items() if name in taken}


# Examples


def images_of(found: Tensor, targets: Tensor, geometry: str = "") -> Example:
    """Return an example whose views are the targets with noise."""
    views = targets + 5 * irregular(*targets.shape) + 0.125
    return Example({"reconstructions": found, "views": views, "targets": targets}, {}, geometry)


#: What is special about drawn reconstructions; plain ones first, since examples shrink to them.
_GEOMETRIES = ("plain", "plain", "close", "exact", "one entry off", "all off by one number", "far")


def near(targets: Tensor, drawn: Tensor, geometry: str) -> Tensor:
    """Return reconstructions of targets with a geometry, from drawn numbers."""
    if geometry == "close":
        return targets + drawn / 16
    if geometry == "exact":
        return targets.clone()
    if geometry == "one entry off":
        moved = targets.clone().flatten()
        moved[len(moved) // 2] += 1
        return moved.view_as(targets)
    if geometry == "all off by one number":
        return targets + 0.5
    if geometry == "far":
        return targets + 4 * drawn
    return drawn


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of reconstructions and targets (V, B, C, h, w)."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        shape = (2, *(draw(st.integers(1, size)) for size in (2, 3, 2, 3, 3)))
        geometry = draw(st.sampled_from(_GEOMETRIES))
        numbers, targets = draw(tensors(*shape))
        found = near(targets, numbers, geometry)
        if draw(st.booleans()):
            found = found + irregular(*found.shape)
        return images_of(found, targets, geometry)

    return drawn()


_SIZES = (
    (1, 1, 1, 1, 1),
    (1, 2, 1, 2, 2),
    (2, 2, 1, 1, 3),
    (2, 3, 2, 3, 4),
    (1, 4, 3, 5, 5),
    (1, 130, 1, 3, 3),
    (3, 2, 3, 17, 16),
    (1, 1, 1, 40, 36),
    (1, 300, 1, 2, 2),
)


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first, then sizes at which chunks and strides go wrong."""
    found = [images_of(*fixed("reconstruction", 2, *shape)) for shape in _SIZES]
    targets, noise = fixed("reconstruction", 2, 2, 3, 1, 4, 4)
    far = images_of(targets + 200 + noise / 8, targets + 200, "close, and far from zero")
    return [*found[:4], far, *found[4:]]


def off_by(difference: float) -> Example:
    """Return 64 pixels, of which one differs from its target."""
    targets = torch.zeros(1, 1, 1, 8, 8, dtype=torch.float64)
    found = targets.clone()
    found[..., 3, 4] = difference
    return images_of(found, targets)


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return examples near the limits of a type, whose loss and gradient the type can hold."""
    targets = fixed("reconstruction", 1, 2, 1, 4, 4)
    return {
        "exact reconstructions": images_of(targets.clone(), targets),
        "zeros": images_of(torch.zeros_like(targets), torch.zeros_like(targets)),
        "a large difference": off_by(LARGE[dtype]),
        "a tiny difference": off_by(TINY[dtype]),
    }


def malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return targets of another shape."""
    targets, found = inputs["targets"], inputs["reconstructions"]
    wrong = {
        "another number of images": targets[:, :-1],
        "one image against several": targets[:, :1],
        "one view against several": targets[:1],
        "one channel against several": targets[:, :, :1],
        "another width": targets[..., :-1],
        "one column against several": targets[..., :1],
        "no dimension of views": targets[0],
        "the same entries in another shape": targets.flatten(0, 1)[None],
        "one number": targets[0, 0, 0, 0, 0],
    }
    empty = {name: item[:, :0] for name, item in inputs.items()}
    return {
        **{
            what: {**inputs, "reconstructions": found, "targets": item}
            for what, item in wrong.items()
        },
        "an empty batch": empty,
    }


def plain_malformed(inputs: Inputs) -> Mapping[str, tuple[Tensor, ...]]:
    """Return the malformed inputs as two tensors."""
    return {
        what: (wrong["reconstructions"], wrong["targets"])
        for what, wrong in malformed(inputs).items()
    }


RECONSTRUCTION = register_family(
    Family(
        name="reconstruction",
        summary="Mean squared difference of reconstructions from their targets",
        signals=SIGNALS,
        reference=reference,
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=tuple(degenerate("float64")),
        malformed=malformed,
        trainable=("reconstructions",),
        given=given,
        plain=lambda inputs: [(inputs["reconstructions"], inputs["targets"])],
        plain_names=("x", "y"),
        plain_malformed=plain_malformed,
        properties=RECONSTRUCTION_PROPERTIES,
        mutants=MUTANTS,
        control=CONTROL,
    )
)
