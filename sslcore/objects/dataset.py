"""Data from Python: a data set of torch read into memory once, or splits as they are."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import torch
from annotated_types import Ge, Lt
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from sslcore.data import Data, Split
from sslcore.data.labels import UNKNOWN, are_several
from sslcore.errors import DataError, UsageError, first_line
from sslcore.objects.names import qualified_name
from sslcore.objects.randomness import own_randomness
from sslcore.random import generator_for

#: How far beyond [0, 1] rounding may bring a value.
_ROUNDING = 1e-3
#: The part of each class that is held out by default.
_HELD_OUT = 0.2


def data_source(given: object) -> Callable[..., Data]:
    """Return the function behind a data set's record.

    Args:
        given: a map-style data set of (image, label) or of images, a `Split`, a `Data`, or a pair
            (train, test) of the first two.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(given, Data):
        return lambda: given
    if isinstance(given, tuple) and len(given) == 2 and all(map(_is_images, given)):
        train, test = given

        def both() -> Data:
            with _naming(train):
                return _together(train, _read(train), _read(test))

        return both
    if not _is_images(given):
        raise UsageError(f"data: {_refusal(given)}")

    def held_out(*, test_fraction: Annotated[float, Ge(0), Lt(1)] | None = None) -> Data:
        """Return the images, of which a part of each class is held out for testing.

        Args:
            test_fraction: fraction of each class to hold out, in [0, 1); None holds out a fifth of
                images with labels, and nothing of others.
        """
        with _naming(given):
            found = _read(given)
            fraction = test_fraction
            if fraction is None:
                fraction = 0 if found.labels is None else _HELD_OUT
            return _together(given, *_split(found, fraction))

    held_out.__annotations__ = {"test_fraction": Annotated[float, Ge(0), Lt(1)] | None}
    return held_out


@contextmanager
def _naming(given: object) -> Iterator[None]:
    """Name the data set in the message of an error."""
    try:
        yield
    except DataError as error:
        raise DataError(f"data {qualified_name(given)}: {error}") from error


def _is_images(given: object) -> bool:
    if isinstance(given, (str, bytes, dict, DataLoader, IterableDataset)):
        return False
    if isinstance(given, tuple):
        return False
    return isinstance(given, Split) or (hasattr(given, "__len__") and hasattr(given, "__getitem__"))


def _refusal(given: object) -> str:
    kind = qualified_name(given)
    if isinstance(given, DataLoader):
        return "it is a DataLoader, which makes batches; give its data set"
    if isinstance(given, IterableDataset) or hasattr(given, "__next__"):
        return (
            f"{kind} can only be iterated over, and the engine draws images by their number; give "
            "a map-style data set, with __len__ and __getitem__, or a list of its items"
        )
    return (
        f"expected a name, a path, a map-style data set of (image, label) or of images, a Split, "
        f"a Data, or a pair (train, test), got {kind}"
    )


def _together(given: object, train: Split, test: Split | None) -> Data:
    """Return the splits as data, with the names of the classes."""
    splits = (train,) if test is None else (train, test)
    labels = [split.labels for split in splits if split.labels is not None]
    if 0 < len(labels) < len(splits):
        raise DataError("one of the splits has labels, and the other one has none")
    images = [split.images for split in splits if isinstance(split.images, Tensor)]
    notes: tuple[str, ...] = ()
    if len(images) == len(splits):
        if images[-1].shape[1:] != images[0].shape[1:]:
            raise DataError(
                f"images to train on are of shape {tuple(images[0].shape[1:])}, and those to "
                f"test on of {tuple(images[-1].shape[1:])}"
            )
        taken = sum(each.nbytes for each in images) / 2**20
        notes = (f"{sum(map(len, splits)):,} images are in memory ({taken:,.1f} MiB)",)
    if not labels:
        return Data(train, test, notes=notes)
    count = _count(labels)
    classes = _class_names(given)
    if len(classes) < count:
        if classes:
            raise DataError(f"there are {len(classes)} names in `classes`, and a label {count - 1}")
        classes = tuple(map(str, range(count)))
    return Data(train, test, classes=classes, notes=notes)


def _count(labels: Sequence[Tensor]) -> int:
    """Return how many classes there are in the labels of the splits."""
    several = {are_several(each) for each in labels}
    if several == {False}:
        return 1 + max(int(each.max()) for each in labels)
    widths = {each.shape[1] for each in labels if are_several(each)}
    if len(several) > 1 or len(widths) > 1:
        shapes = " and ".join(str(tuple(each.shape)) for each in labels)
        raise DataError(f"the labels of the splits are of shapes {shapes}; give both K columns")
    return widths.pop()


def _class_names(given: object) -> tuple[str, ...]:
    """Return the names that a data set, or the one within it, has as `classes`."""
    while not hasattr(given, "classes") and hasattr(given, "dataset"):
        given = given.dataset
    names = getattr(given, "classes", ())
    if isinstance(names, str) or not isinstance(names, Sequence):
        return ()
    return tuple(names) if all(isinstance(name, str) for name in names) else ()


def _split(split: Split, fraction: float) -> tuple[Split, Split | None]:
    """Return the images to train on, and the held-out ones: the same at every call."""
    if not fraction:
        return split, None
    if len(split) < 2:
        raise DataError(f"there are {len(split)} images; at least 2 are needed, one to test on")
    labels = split.labels
    if labels is None or are_several(labels):
        # Of images with several labels, a part of all is held out.
        labels = torch.zeros(len(split), dtype=torch.int64)
    held = torch.zeros(len(split), dtype=torch.bool)
    order = torch.randperm(len(split), generator=generator_for("held out", len(split)))
    for label in labels[labels != UNKNOWN].unique():
        rows = order[labels[order] == label]
        if len(rows) > 1:
            held[rows[: min(max(1, round(fraction * len(rows))), len(rows) - 1)]] = True
    if not held.any():
        held[order[0]] = True
    return _rows(split, ~held), _rows(split, held)


def _rows(split: Split, chosen: Tensor) -> Split:
    made = split.subset(chosen.nonzero()[:, 0])
    return made if split.names is not None else replace(made, names=None)


def _read(given: Any) -> Split:
    """Read all items of a data set.

    Raises:
        DataError: an item is no image, or does not go with the first one.
    """
    if isinstance(given, Split):
        return given
    count = len(given)
    if not count:
        raise DataError("it has no items")
    images, labels = torch.empty(0), []
    # A transform within the data set may draw: what is read must not depend on the caller's draws.
    with own_randomness() as seed:
        for row in range(count):
            seed(row)
            image, label = _item(given, row)
            if row == 0:
                images = torch.empty((count, *image.shape), dtype=torch.uint8)
            if image.shape != images.shape[1:]:
                raise DataError(
                    f"item {row} is of shape {tuple(image.shape)}, and item 0 of "
                    f"{tuple(images.shape[1:])}; give the data set a transform to one size, such "
                    "as v2.Compose([v2.Resize(64), v2.CenterCrop(64)])"
                )
            images[row] = image
            labels.append(label)
    if images.shape[-1] != images.shape[-2]:
        raise DataError(
            f"images must be square, got {images.shape[-2]} × {images.shape[-1]} px; give the data "
            "set a transform such as v2.CenterCrop(64)"
        )
    return _labelled(Split(images), labels)


def _labelled(split: Split, labels: list[Label | None]) -> Split:
    found = [label for label in labels if label is not None]
    if not found:
        return split
    if len(found) < len(labels):
        row = next(row for row, label in enumerate(labels) if label is None)
        raise DataError(f"item {row} has no label, and other items have one")
    numbers = [label for label in found if isinstance(label, int)]
    if len(numbers) == len(found):
        return replace(split, labels=torch.tensor(numbers))
    columns = [label for label in found if isinstance(label, Tensor)]
    shapes = {tuple(label.shape) for label in columns}
    if len(columns) < len(found) or len(shapes) > 1:
        raise DataError(
            "items have several labels each, in different forms; give each item a bool tensor (K,)"
        )
    return replace(split, labels=torch.stack(columns))


#: The number of a class, or whether each of K classes is there, bool (K,).
Label = int | Tensor


def _item(given: Any, row: int) -> tuple[Tensor, Label | None]:
    """Return the image (C, H, W), uint8, and the label of an item."""
    try:
        item = given[row]
    except Exception as error:
        raise DataError(
            f"item {row} can't be read: {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(item, (tuple, list)):
        return _image(item, row), None
    if not item:
        raise DataError(f"item {row} is empty; expected (image, label) or an image")
    label = item[1] if len(item) > 1 else None
    if isinstance(label, Tensor) and label.dim() == 1 and label.dtype == torch.bool:
        return _image(item[0], row), label.as_subclass(Tensor)
    if isinstance(label, Tensor) and label.dim() == 0 and not label.is_floating_point():
        label = int(label)
    if label is not None and not isinstance(label, numbers.Integral):
        raise DataError(
            f"item {row} has the label {label!r:.60}, expected an integer, the number of its "
            "class, or a bool tensor (K,) for several"
        )
    return _image(item[0], row), None if label is None else int(label)


def _image(image: object, row: int) -> Tensor:
    if isinstance(image, Image.Image):
        from torchvision.transforms.functional import pil_to_tensor

        plain: Tensor = pil_to_tensor(image if image.mode in ("L", "RGB") else image.convert("RGB"))
        return plain
    if not isinstance(image, Tensor):
        raise DataError(
            f"item {row} is {qualified_name(image)}, expected a PIL image or a tensor (C, H, W), "
            "or one of these with a label"
        )
    if image.dim() != 3:
        raise DataError(f"item {row} is of shape {tuple(image.shape)}, expected an image (C, H, W)")
    if image.dtype == torch.uint8:
        return image.as_subclass(Tensor)
    if not image.is_floating_point():
        raise DataError(f"item {row} is {image.dtype}, expected uint8, or floats in [0, 1]")
    low, high = (float(value) for value in image.aminmax())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        why = (
            "give values up to 255 as uint8"
            if low >= 0 and high > 2
            else "leave Normalize out of its transform: the augmentation normalises the views"
        )
        raise DataError(
            f"item {row} has floats from {low:.4g} to {high:.4g}, expected [0, 1]; {why}"
        )
    return image.as_subclass(Tensor).mul(255).round().clamp(0, 255).to(torch.uint8)
