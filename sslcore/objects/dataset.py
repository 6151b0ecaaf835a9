"""Data from Python: data sets of torch, arrays, tensors, or splits as they are."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Lt
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from sslcore.data import Data, Split
from sslcore.data.arrays import IN_MEMORY, ArrayImages, array_split
from sslcore.data.chosen import with_test_part
from sslcore.data.form import UNIT
from sslcore.data.labels import are_several
from sslcore.errors import DataError, UsageError
from sslcore.objects.items import are_bytes, as_bytes, in_unit_range
from sslcore.objects.names import qualified_name
from sslcore.objects.reading import HeldImages, split_of_items


def data_source(given: object) -> Callable[..., Data]:
    """Return the function behind a data set's record.

    Args:
        given: a map-style data set of (image, label) or of images, an array or a tensor of images,
            a pair (images, labels) of arrays, a `Split`, a `Data`, or a pair (train, test) of any
            of these but the last.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(given, Data):
        return lambda: given
    if _is_images(given):

        def with_a_part_held_out(
            *, test_fraction: Annotated[float, Ge(0), Lt(1)] | None = None
        ) -> Data:
            """Return the images, of which a part of each class is held out for testing.

            Args:
                test_fraction: fraction of each class to hold out, in [0, 1); None holds out a fifth
                    of images with labels, and nothing of others.
            """
            with _naming(given):
                split, notes = _read(given)
                return _together(given, *with_test_part(split, test_fraction), notes)

        with_a_part_held_out.__annotations__ = {
            "test_fraction": Annotated[float, Ge(0), Lt(1)] | None
        }
        return with_a_part_held_out
    if not (isinstance(given, tuple) and len(given) == 2 and all(map(_is_images, given))):
        raise UsageError(f"data: {_refusal(given)}")
    train, test = given

    def both() -> Data:
        with _naming(train):
            (first, notes), (second, more) = _read(train), _read(test)
            return _together(train, first, second, tuple(dict.fromkeys((*notes, *more))))

    return both


def extras_of(given: object) -> tuple[str, ...]:
    """Return the names of the extras of the images to train on: a `Split` may have them."""
    train = given.train if isinstance(given, Data) else given
    train = train[0] if isinstance(train, tuple) else train
    return tuple(train.extras) if isinstance(train, Split) else ()


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
        return len(given) == 2 and _is_array(given[0]) and _are_labels(given[1])
    return isinstance(given, Split) or (hasattr(given, "__len__") and hasattr(given, "__getitem__"))


def _is_array(given: object) -> bool:
    return isinstance(given, (Tensor, np.ndarray)) and given.ndim > 1


def _are_labels(given: object) -> bool:
    """Whether these are the labels of an array, and not images to test on."""
    if isinstance(given, (Tensor, np.ndarray)):
        return given.ndim <= 2
    return isinstance(given, list) and isinstance(next(iter(given), None), numbers.Integral)


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
        f"expected a name, a path, a map-style data set of (image, label) or of images, an array "
        f"of images, a pair (images, labels) of arrays, a Split, a Data, or a pair (train, test), "
        f"got {kind}"
    )


def _together(given: object, train: Split, test: Split | None, notes: tuple[str, ...]) -> Data:
    """Return the splits as data, with the names of the classes."""
    if test is not None:
        if (train.labels is None) != (test.labels is None):
            raise DataError("one of the splits has labels, and the other one has none")
        train, test = _alike(train, test)
    splits = (train,) if test is None else (train, test)
    held = [split.images for split in splits if split.file is None]
    size = sum(images.nbytes for images in held if isinstance(images, (Tensor, HeldImages)))
    if size:
        mib = size / 2**20
        notes += (f"{sum(map(len, splits)):,} images are in memory ({mib:,.1f} MiB)",)
    labels = [split.labels for split in splits if split.labels is not None]
    if not labels:
        return Data(train, test, notes=notes)
    count = _count(labels)
    classes = _class_names(given)
    if len(classes) < count:
        if classes:
            raise DataError(f"there are {len(classes)} names in `classes`, and a label {count - 1}")
        classes = tuple(map(str, range(count)))
    return Data(train, test, classes=classes, notes=notes)


def _alike(train: Split, test: Split) -> tuple[Split, Split]:
    """Return both splits as tensors of one shape, or both as sources of images of any size."""
    shapes = [
        split.images.shape[1:] if isinstance(split.images, Tensor) else None
        for split in (train, test)
    ]
    if shapes[0] == shapes[1]:
        return train, test
    made = [
        replace(split, images=ArrayImages(split.images, split.file), file=None)
        if isinstance(split.images, Tensor)
        else split
        for split in (train, test)
    ]
    return made[0], made[1]


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


def _read(given: Any) -> tuple[Split, tuple[str, ...]]:
    """Return what was given as a split, and notes.

    Raises:
        DataError: it holds no images, or they don't go together.
    """
    if isinstance(given, Split):
        return given, ()
    images, labels = given if isinstance(given, tuple) else (given, None)
    if not isinstance(images, (Tensor, np.ndarray)):
        return split_of_items(images)
    split = array_split(images)
    if not len(split):
        raise DataError("it has no images")
    if labels is not None:
        split = replace(split, labels=_labels(labels))
    return _of_floats(split), ()


def _of_floats(split: Split) -> Split:
    """Return images of floats in [0, 1] with this range, and as uint8 if they were made of it."""
    images = split.images
    if not isinstance(images, Tensor) or not images.is_floating_point() or split.file is not None:
        return split
    if images.nbytes > IN_MEMORY or not in_unit_range(images):
        return split
    if are_bytes(images):
        return replace(split, images=as_bytes(images))
    return replace(split, range=UNIT)


def _labels(labels: Any) -> Tensor:
    found = torch.as_tensor(np.asarray(labels) if not isinstance(labels, Tensor) else labels)
    found = found.detach().cpu()
    if found.dtype == torch.bool or found.is_floating_point() or found.is_complex():
        # `Split` takes several labels an image, and says what is wrong with others.
        return found
    return found.to(torch.int64)
