"""Tar shards as a data set."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Lt

from sslcore.data import Data
from sslcore.errors import DataError, nearest
from sslcore.system.printable import one_line
from sslcore_webdataset._duplicates import check_duplicates
from sslcore_webdataset._images import Samples
from sslcore_webdataset._index import Wanted
from sslcore_webdataset._indexing import Indexed, indexed
from sslcore_webdataset._labels import WITHOUT, Labels, labels_of
from sslcore_webdataset._parts import Parts
from sslcore_webdataset._paths import shards_of, splits_of
from sslcore_webdataset._remarks import remarks_on
from sslcore_webdataset._storage import Storage


def shards(
    *,
    path: str,
    label: str | None = None,
    image: str | None = None,
    test_fraction: Annotated[float, Ge(0), Lt(1)] | None = None,
) -> Data:
    """Return the images of tar shards in the WebDataset layout.

    The files of a sample have the same name up to the first dot: `0001.jpg`, `0001.cls`. An index
    of each shard is made once and kept in the cache; then, images are read one by one, in any
    order. Shards or folders called train and test (or val) are the splits. Without these, a part
    of the labelled images is held out by a hash of their names, the same at every call.

    Args:
        path: a .tar, a folder of these, or a pattern such as `train-{000..009}.tar` or `*.tar`; or
            an address of these, such as `s3://bucket/train-{000..009}.tar`.
        label: the key of the class in the .json of each sample; none takes the .cls, with a number
            or a name, and an empty text takes no labels.
        image: the ending of the images, such as jpg; none takes the image that a sample has.
        test_fraction: fraction of each class to hold out if no shards are for testing, in [0, 1).
            none holds out a fifth of images with labels, and nothing of others. 0 trains on all
            images, on those for testing too if there are no labels.

    Raises:
        DataError: there are no such shards, or one can't be read, is compressed or damaged; a
            sample has two images or a bad label; an image is in two shards; or the test images have
            a class that training lacks.
    """
    paths = shards_of(path)
    groups, note = splits_of(paths)
    used = sorted(number for numbers in groups.values() for number in numbers)
    found = indexed([paths[number] for number in used], Wanted(label, image))
    place = {number: own for own, number in enumerate(used)}
    groups = {name: [place[number] for number in numbers] for name, numbers in groups.items()}
    samples, storage = Samples(found), Storage(found.shards)
    if len(samples) < 2:
        which = paths[0] if len(paths) == 1 else f"the {len(paths)} shards of {path} together"
        some = "1 sample" if len(samples) else "no sample"
        has = "has" if len(paths) == 1 else "have"
        raise DataError(f"{which} {has} {some} with an image; at least 2 are needed")
    same = check_duplicates(samples, storage)
    labels, remark = _labels(found, label)
    notes = [each for each in (note, *remarks_on(found), same, remark) if each]
    return Parts(samples, labels, storage, path).data(groups, test_fraction, notes)


def _labels(found: Indexed, label: str | None) -> tuple[Labels | None, str]:
    """Return the labels, None if there are none to use, and a note.

    Raises:
        DataError: no sample has the key that the user named.
    """
    if label is not None and not label.strip():
        return None, ""
    labels = labels_of(found.indexes)
    keys = next((index.remarks.json_keys for index in found.indexes if index.remarks.json_keys), ())
    listed = one_line(", ".join(keys))[:200]
    if label is not None and not labels.known.any():
        raise DataError(
            f"data.label: no sample has the key {label!r} in a .json{nearest(label, keys)}; "
            + (f"the keys are {listed}" if keys else "there are no .json files")
        )
    if not labels.problem:
        return labels, ""
    if labels.known.any():
        return None, f"{labels.problem}, {WITHOUT}"
    how = f"; --set data.label=KEY takes a key of the .json files: {listed}" if keys else ""
    return None, f"no sample has a .cls, {WITHOUT}{how}"
