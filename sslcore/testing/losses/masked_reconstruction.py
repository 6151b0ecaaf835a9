"""The family `masked-reconstruction` (MAE, He et al. 2022, section 3)."""

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
from sslcore.testing.losses.masked_reconstruction_mutants import (
    CONTROL,
    MUTANTS,
    SIGNALS,
    hidden_pixels,
)
from sslcore.testing.losses.masked_reconstruction_properties import MASKED
from sslcore.testing.losses.reconstruction import given, images_of, near, off_by

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean of squared differences over the pixels of all hidden patches.

    Written patch by patch, so that it shares no indexing with the losses it is compared with.
    """
    squares = _hidden_squares(inputs)
    return torch.cat([item for image in squares for item in image]).mean()


def mean_by_image(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean over images of the mean over an image's hidden pixels."""
    return torch.stack([torch.cat(image).mean() for image in _hidden_squares(inputs)]).mean()


def _hidden_squares(inputs: Inputs) -> list[list[Tensor]]:
    """Return the squared differences of each hidden patch of each image."""
    difference = (inputs["reconstructions"] - inputs["targets"]).flatten(0, 1)
    mask = inputs["mask"].flatten(0, 1)
    grid = round(mask.shape[1] ** 0.5)
    side = difference.shape[-1] // grid
    found = []
    for image, hidden in zip(difference, mask.tolist(), strict=True):
        patches = []
        for position, is_hidden in enumerate(hidden):
            if is_hidden:
                top, left = position // grid * side, position % grid * side
                patches.append(image[:, top : top + side, left : left + side].square().flatten())
        found.append(patches)
    return found


# Examples


def masked_images(found: Tensor, targets: Tensor, mask: Tensor, geometry: str = "") -> Example:
    """Return an example in which every image has a hidden patch."""
    nothing = ~mask.any(-1)
    first = torch.arange(mask.shape[-1]) == mask.shape[-1] // 2
    example = images_of(found, targets, geometry)
    return example.with_inputs(mask=mask | (nothing[..., None] & first))


_GEOMETRIES = ("plain", "plain", "close", "exact", "one entry off", "far")


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of reconstructions, targets and masks."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        lead = draw(st.integers(1, 2)), draw(st.integers(1, 3))
        grid, side = draw(st.sampled_from([(2, 1), (1, 2), (2, 2), (3, 1)]))
        channels, size = draw(st.integers(1, 2)), grid * side
        geometry = draw(st.sampled_from(_GEOMETRIES))
        numbers, targets = draw(tensors(2, *lead, channels, size, size))
        patches, images = grid**2, lead[0] * lead[1]
        # One number per image, whose bits mark the hidden patches: far fewer draws than patches.
        codes = [draw(st.integers(1, 2**patches - 1)) for _ in range(images)]
        bits = [[bool(code >> place & 1) for place in range(patches)] for code in codes]
        mask = torch.tensor(bits).view(*lead, patches)
        found = near(targets, numbers, geometry)
        if draw(st.booleans()):
            found = found + irregular(*found.shape)
        return masked_images(found, targets, mask, geometry)

    return drawn()


#: (V, B, C, patches along a side, pixels along a patch's side, part that is hidden).
_SIZES = (
    (1, 1, 1, 1, 1, 1.0),
    (1, 2, 1, 2, 1, 0.5),
    (1, 3, 2, 2, 2, 0.75),
    (2, 3, 2, 3, 2, 0.5),
    (1, 4, 3, 4, 4, 0.75),
    (1, 33, 1, 3, 1, 0.5),
    (2, 3, 3, 7, 2, 0.6),
    (1, 1, 1, 10, 4, 0.5),
    (1, 300, 1, 2, 1, 0.5),
)


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first; the number of hidden patches varies by image."""
    found = []
    for views, count, channels, grid, side, part in _SIZES:
        found_images, targets = fixed("masked", 2, views, count, channels, grid * side, grid * side)
        noise = fixed("mask", views, count, grid**2)
        mask = noise < torch.quantile(noise.flatten(), part)
        found.append(masked_images(found_images, targets, mask))
    return found


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return examples near the limits of a type, whose loss and gradient the type can hold."""
    targets = fixed("masked", 1, 2, 1, 4, 4)
    some = torch.tensor([[[True, False, True, False], [False, True, False, False]]])
    every = torch.ones(1, 1, 4, dtype=torch.bool)
    return {
        "exact reconstructions": masked_images(targets.clone(), targets, some),
        "zeros": masked_images(torch.zeros_like(targets), torch.zeros_like(targets), some),
        "a large difference": off_by(LARGE[dtype]).with_inputs(mask=every),
        "a tiny difference": off_by(TINY[dtype]).with_inputs(mask=every),
    }


def malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return targets and masks of another shape."""
    targets, mask = inputs["targets"], inputs["mask"]
    return {
        "another number of images in the mask": {**inputs, "mask": mask[:, :-1]},
        "one mask for several images": {**inputs, "mask": mask[:, :1]},
        "one mask for several views": {**inputs, "mask": mask[:1]},
        "a number of patches that is not a square": {**inputs, "mask": mask[..., :-1]},
        "one target for several images": {**inputs, "targets": targets[:, :1]},
        "one channel against several": {**inputs, "targets": targets[:, :, :1]},
        "another width": {**inputs, "targets": targets[..., :-1]},
        "an empty batch": {name: item[:, :0] for name, item in inputs.items()},
    }


def plain_calls(inputs: Inputs) -> Sequence[tuple[Tensor, ...]]:
    """Return reconstructions, targets and the mask of hidden pixels, all of one shape."""
    found = inputs["reconstructions"]
    return [(found, inputs["targets"], hidden_pixels(inputs["mask"], found))]


def plain_malformed(inputs: Inputs) -> Mapping[str, tuple[Tensor, ...]]:
    """Return three tensors whose shapes don't match."""
    ((found, targets, hidden),) = plain_calls(inputs)
    return {
        "one target for several images": (found, targets[:, :1], hidden),
        "another width": (found, targets[..., :-1], hidden),
        "one mask for several images": (found, targets, hidden[:, :1]),
        "one channel of the mask for several": (found, targets, hidden[:, :, :1]),
        "a mask without a dimension of views": (found, targets, hidden[0]),
        "an empty batch": (found[:, :0], targets[:, :0], hidden[:, :0]),
    }


MASKED_RECONSTRUCTION = register_family(
    Family(
        name="masked-reconstruction",
        summary="Mean squared difference over the pixels of hidden patches",
        signals=SIGNALS,
        reference=reference,
        conventions={"mean over all hidden pixels": reference, "mean by image": mean_by_image},
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=tuple(degenerate("float64")),
        malformed=malformed,
        trainable=("reconstructions",),
        given=given,
        plain=plain_calls,
        plain_names=("x", "y", "mask"),
        plain_malformed=plain_malformed,
        properties=MASKED,
        mutants=MUTANTS,
        control=CONTROL,
    )
)
