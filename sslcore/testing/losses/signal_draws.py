"""Examples of any signals, from their shapes: fixed ones, and a strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from sslcore.random import generator_for
from sslcore.signals import Shape
from sslcore.testing.losses.draws import fixed, hypers, irregular, tensors, without_zero_rows
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import HyperRange
from sslcore.testing.losses.signal_shapes import ENGINE, Asked
from sslcore.testing.losses.supplied import OF_A_RUN

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: Images in a batch, and length of a projection: of the fixed examples.
_FIXED = ((2, 2), (3, 4), (4, 3), (5, 2), (4, 8), (8, 5), (16, 3))
#: Images of drawn batches.
_DRAWN = (2, 3, 4, 5, 6)
#: Numbers of views, of the student and of the teacher, that losses may be made for.
_VIEWS = ((2, 2), (1, 1), (4, 4), (4, 2), (3, 3), (6, 2))


@dataclass(frozen=True)
class Layout:
    """The sizes that a loss accepts.

    Attributes:
        views: of the student.
        teacher_views: of the teacher.
        alike: whether features are as long as projections.
        least: the smallest batch.
    """

    views: int = 2
    teacher_views: int = 2
    alike: bool = False
    least: int = 2

    def sizes(self, shapes: Mapping[str, Shape], images: int, dim: int) -> dict[str, int]:
        """Return the size of each letter."""
        known = {
            "V": self.views,
            "T": self.teacher_views,
            "B": images,
            "D": dim,
            "F": dim if self.alike else dim + 1,
            "K": OF_A_RUN["num_classes"],
            "N": OF_A_RUN["num_images"],
            "L": 4,
            "C": 1,
            "H": 4,
            "M": 2,
            "S": 2,
        }
        letters = (
            letter
            for shape in shapes.values()
            for letter in (*shape.dims, shape.below)
            if isinstance(letter, str)
        )
        for letter in letters:
            known.setdefault(letter, 3 + len(known) % 3)
        return known


def layouts() -> Iterator[Layout]:
    """Return the layouts to try, the most common ones first."""
    for views, teacher in _VIEWS:
        for alike in (False, True):
            yield Layout(views, teacher, alike)


def first_accepted(asked: Asked, accepts: Callable[[Example], bool]) -> Layout:
    """Return the first layout that a loss accepts; the most common one where it accepts none.

    Args:
        asked: what the loss asks for.
        accepts: whether the loss has a finite value for an example.
    """
    for layout in layouts():
        if accepts(example_of(asked, layout, 8, 4)):
            break
    else:
        return Layout()
    for images in (2, 3, 4, 5):
        if accepts(example_of(asked, layout, images, 3)):
            return replace(layout, least=images)
    return replace(layout, least=8)


def example_of(asked: Asked, layout: Layout, images: int, dim: int) -> Example:
    """Return an example without any symmetry, the same one each time."""
    sizes = layout.sizes(asked.shapes, images, dim)
    inputs = {name: _fixed(name, shape, sizes) for name, shape in asked.shapes.items()}
    return Example(inputs, engine={name: ENGINE[name][0] for name in asked.engine})


def _fixed(name: str, shape: Shape, sizes: Mapping[str, int]) -> Tensor:
    dims = _dims(shape, sizes)
    if name == "indices":
        return torch.randperm(OF_A_RUN["num_images"], generator=generator_for("indices", *dims))[
            : dims[0]
        ]
    if shape.below is not None:
        below = _size(shape.below, sizes)
        return torch.randint(below, dims, generator=generator_for(name, *dims))
    drawn = fixed(name, *dims)
    return _some(drawn > 0) if shape.mask else drawn


def _dims(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(_size(dim, sizes) for dim in shape.dims)


def _size(dim: int | str, sizes: Mapping[str, int]) -> int:
    return sizes[dim] if isinstance(dim, str) else dim


def _some(mask: Tensor) -> Tensor:
    """Return a mask that hides some of each row, and not all."""
    mask = mask.clone()
    mask[..., 0] = True
    if mask.shape[-1] > 1:
        mask[..., 1] = False
    return mask


def anchors_of(asked: Asked, layout: Layout) -> Sequence[Example]:
    """Return fixed examples, small ones first."""
    batches = [(max(images, layout.least), dim) for images, dim in _FIXED]
    found = [example_of(asked, layout, images, dim) for images, dim in dict.fromkeys(batches)]
    values = [
        {name: ENGINE[name][k % len(ENGINE[name])] for name in asked.engine} for k in range(9)
    ]
    found = [replace(example, engine=values[k]) for k, example in enumerate(found)]
    usual = found[min(2, len(found) - 1)]
    found += [
        replace(_with_floats(usual, first_image(asked)), geometry="all images alike"),
        replace(_with_floats(usual, lambda name, item: 4 * item), geometry="long rows"),
        replace(_with_floats(usual, lambda name, item: item / 8), geometry="short rows"),
    ]
    if "labels" in asked.shapes:
        one = usual.with_inputs(labels=torch.ones_like(usual.inputs["labels"]))
        found.append(replace(one, geometry="all images of one class"))
    return found


def first_image(asked: Asked) -> Callable[[str, Tensor], Tensor]:
    """Return a change of a signal: all images become the first one."""

    def alike(name: str, item: Tensor) -> Tensor:
        axis = asked.axes.get(name)
        return item if axis is None else item.narrow(axis, 0, 1).expand_as(item).clone()

    return alike


def _with_floats(example: Example, change: Callable[[str, Tensor], Tensor]) -> Example:
    return example.with_inputs(
        **{
            name: change(name, item)
            for name, item in example.inputs.items()
            if item.is_floating_point()
        }
    )


def examples_of(
    asked: Asked, layout: Layout, ranges: Mapping[str, HyperRange]
) -> SearchStrategy[Example]:
    """Return a strategy of examples."""
    batches = sorted({max(images, layout.least) for images in _DRAWN})

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        images, dim = draw(st.sampled_from(batches)), draw(st.integers(2, 5))
        sizes = layout.sizes(asked.shapes, images, dim)
        uneven = draw(st.booleans())
        inputs: Inputs = {}
        for name, shape in asked.shapes.items():
            dims = _dims(shape, sizes)
            if name == "indices":
                inputs[name] = _fixed(name, shape, sizes)
            elif shape.mask:
                inputs[name] = _some(torch.from_numpy(draw(hnp.arrays(bool, dims))))
            elif shape.below is not None:
                entries = st.integers(0, _size(shape.below, sizes) - 1)
                inputs[name] = torch.from_numpy(draw(hnp.arrays(np.int64, dims, elements=entries)))
            else:
                item = draw(tensors(*dims))
                item = without_zero_rows(item) if item.dim() > 1 else item
                inputs[name] = item + irregular(*dims) if uneven else item
        engine = {name: draw(st.sampled_from(ENGINE[name])) for name in asked.engine}
        return Example(inputs, draw(hypers(ranges)), engine=engine)

    return drawn()


def degenerate_of(asked: Asked, layout: Layout, tiny: float) -> Mapping[str, Example]:
    """Return examples with zero and with tiny rows, by description."""
    usual = example_of(asked, layout, max(3, layout.least), 3)

    def one_zero(name: str, item: Tensor) -> Tensor:
        axis = asked.axes.get(name)
        if axis is None:
            return item
        item = item.clone()
        item.narrow(axis, 0, 1).zero_()
        return item

    return {
        "a zero row": _with_floats(usual, one_zero),
        "all rows zero": _with_floats(usual, lambda name, item: torch.zeros_like(item)),
        "tiny rows": _with_floats(usual, lambda name, item: item * tiny),
        "all rows alike": _with_floats(usual, first_image(asked)),
    }


def malformed_of(asked: Asked, inputs: Inputs) -> Mapping[str, Inputs]:
    """Return inputs that must be refused: no image, and signals of different batches."""
    with_images = [name for name in inputs if name in asked.axes]
    found = {
        "an empty batch": {
            name: item.narrow(asked.axes[name], 0, 0) if name in with_images else item
            for name, item in inputs.items()
        }
    }
    for name in with_images if len(with_images) > 1 else ():
        first = inputs[name].narrow(asked.axes[name], 0, 1)
        found[f"one image in {name} against several"] = {**inputs, name: first}
    return found
