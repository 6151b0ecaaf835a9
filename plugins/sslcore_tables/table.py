"""A table that lists image files as a data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Lt

from sslcore.contract.holding_out import fraction_held_out
from sslcore.data import Data
from sslcore.errors import DataError
from sslcore.system.addresses import is_address
from sslcore.system.printable import printable
from sslcore_tables._files import Source, check_files, paths_of
from sslcore_tables._labels import Labels, labels_of
from sslcore_tables._reading import Table, read_table
from sslcore_tables._splits import Parts, all_to_train_on, split_by_column, split_by_hash

if TYPE_CHECKING:
    import numpy as np

#: Names of columns that are taken where none is given, in lower case.
_IMAGES = (
    *("path", "paths", "image_path", "img_path", "file_path", "filepath", "file", "file_name"),
    *("filename", "image", "images", "img", "image_file"),
)
_LABEL = ("label", "labels", "class", "class_name", "category", "target")
_SPLIT = ("split", "subset", "partition")
#: What follows from labels that can't be used.
_WITHOUT = "so the images are used without labels"


def table(
    *,
    path: str,
    images: str | None = None,
    label: str | None = None,
    split: str | None = None,
    root: str | None = None,
    test_fraction: Annotated[float, Ge(0), Lt(1)] | None = None,
) -> Data:
    """Return the images that a table names: .csv, .tsv, .jsonl or .parquet.

    A row without a label is trained on, and evaluators fit on the rows with one. Without a column
    of splits, a part of the labelled images is held out by a hash of their paths, the same at
    every call.

    Args:
        path: the table: a path, or an address such as s3://bucket/table.csv.
        images: the column with the paths of the images; none takes the first one called path,
            file, filename, image or alike.
        label: the column with the class of each image, or with several labels separated by ; or |;
            or several columns of 0 and 1, separated by commas; none takes the first one called
            label, class, category, target or alike, and an empty text takes no column.
        split: the column with train, test or val; none takes the first one called split, subset or
            partition, and an empty text takes no column.
        root: the folder of relative paths, or its address; none is the folder of the table.
        test_fraction: fraction of each class to hold out if there is no column of splits, in
            [0, 1); none holds out a fifth of images with labels, and nothing of others.

    Raises:
        DataError: the table can't be read, lacks a column, or has a bad value; a path names no
            file, or two rows name the same; or the test images have a class that training lacks.
    """
    opened = read_table(path if is_address(path) else str(Path(path).expanduser().absolute()))
    if opened.size == 1:
        raise DataError(f"{opened.path} has 1 row; at least 2 are needed, one of them to test on")
    labels, notes = _labels(opened, label)
    column = opened.first_of(_SPLIT) if split is None else split.strip()
    paths = paths_of(opened, images or _column_of_images(opened))
    folder = os.path.dirname(opened.path) if root is None else root
    folder = folder if is_address(folder) else str(Path(folder).expanduser().absolute())
    check_files(opened, folder, paths)
    source = Source(opened, folder, paths)
    if column:
        parts = split_by_column(opened, column)
    else:
        fraction = fraction_held_out(test_fraction, labelled=labels is not None)
        parts = split_by_hash(paths, labels, fraction) if fraction else all_to_train_on(paths)
    return _data(opened, source, labels, parts, notes)


def _column_of_images(table: Table) -> str:
    column = table.first_of(_IMAGES)
    if column is None:
        shown = ", ".join(map(printable, table.names[:20]))
        raise DataError(
            f"{table.path}: no column is called path, file, filename, image or alike; --set "
            f"data.images=COLUMN names the one with the paths of the images, of {shown}"
        )
    return column


def _labels(table: Table, label: str | None) -> tuple[Labels | None, tuple[str, ...]]:
    """Return the labels, None if there are none to use, and notes."""
    if label is not None and not label.strip():
        return None, ()
    if label is None:
        column = table.first_of(_LABEL)
        if column is None:
            note = "no column is called label, class, category or target"
            shown = ", ".join(map(printable, table.names[:20]))
            return None, (f"{note}, {_WITHOUT}; --set data.label=COLUMN names one of {shown}",)
        columns = [column]
    elif label in table.names:
        columns = [label]
    else:
        columns = [name.strip() for name in label.split(",")]
    labels = labels_of(table, columns)
    problem = labels.problem
    if problem:
        return None, (f"{problem} in the column {', '.join(columns)}, {_WITHOUT}",)
    return labels, labels.notes


def _data(
    table: Table, source: Source, labels: Labels | None, parts: Parts, notes: tuple[str, ...]
) -> Data:
    train, test = parts.train, parts.test
    notes += parts.notes
    without = source.split("test", test) if len(test) else None
    if labels is None:
        return Data(source.split("train", train), without, notes=notes)
    fit, scored = train[labels.known[train]], test[labels.known[test]]
    if not len(fit) or (len(test) and not len(scored)):
        notes += (f"no {'test' if len(fit) else 'train'} row has a label, {_WITHOUT}",)
        return Data(source.split("train", train), without, notes=notes)
    if not parts.held_out:
        _check_classes(table, labels, fit, scored)
    if len(scored) < len(test):
        notes += (f"{len(test) - len(scored)} test rows without a label are left out",)
    probe = None
    if len(fit) < len(train):
        probe = source.split("probe", fit, labels)
        notes += (f"{len(train)} images are trained on, of which {len(fit)} have a label",)
    return Data(
        train=source.split("train", train, None if probe else labels),
        test=source.split("test", scored, labels) if len(scored) else None,
        probe=probe,
        classes=labels.classes,
        notes=notes,
    )


def _check_classes(table: Table, labels: Labels, train: np.ndarray, test: np.ndarray) -> None:
    unknown = labels.used(test) & ~labels.used(train)
    if unknown.any():
        name = labels.classes[int(unknown.argmax())]
        raise DataError(
            f"{table.path}: the test rows have the label {printable(name)!r}, which no train row "
            "has; both need the same labels (--set data.split= splits the images anew)"
        )
