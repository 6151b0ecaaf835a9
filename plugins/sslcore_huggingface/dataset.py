"""Data sets as Hugging Face writes them: tables of encoded images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from annotated_types import Ge, Lt
from torch import Tensor

from sslcore.data import Data, Split
from sslcore.data.chosen import chosen, with_test_part
from sslcore.data.names import NamesOfRows
from sslcore.errors import DataError, nearest
from sslcore_huggingface._columns import AUTO, Columns, columns_of
from sslcore_huggingface._files import Splits, hub_files, local_files
from sslcore_huggingface._images import images_of, row_numbers
from sslcore_huggingface._labels import labels_of
from sslcore_huggingface._places import Column
from sslcore_huggingface._stored import Named
from sslcore_huggingface._tables import column, num_rows, schema_of

if TYPE_CHECKING:
    import pyarrow as pa

#: Splits that are tested on, in order of preference.
_TESTS = ("test", "validation", "valid", "val", "dev", "eval")


def huggingface(
    *,
    path: str,
    images: str = "auto",
    label: str = "auto",
    train: str = "auto",
    test: str = "auto",
    config: str = "",
    test_fraction: Annotated[float, Ge(0), Lt(1)] | None = None,
    copy_limit: Annotated[float, Ge(0)] = 100.0,
) -> Data:
    """Return the images of Parquet or Arrow files, or of a data set of the Hugging Face hub.

    Images are read from where their bytes lie in the files. Those of compressed Parquet files are
    copied once into `$SSLCORE_CACHE`, since single images can't be read from such files.

    Args:
        path: a Parquet or Arrow file, a folder of these or one written by `save_to_disk`; or else a
            name on the hub, such as `uoft-cs/cifar10`.
        images: the column of encoded images, a struct of bytes and path, or binary; auto finds it.
        label: the column of classes, as numbers or text, one or a list for each image; auto takes
            the one that has names of classes, or is called `label`; none takes no labels.
        train: the split to train on; auto is `train`, or the only one.
        test: the split to test on; auto is `test`, or `validation` if `test` has no labels. Without
            one, a part is held out.
        config: the configuration: of the hub, or a folder in `path`.
        test_fraction: fraction of each class to hold out without a split to test on, in [0, 1);
            none holds out a fifth of images with labels, and nothing of others.
        copy_limit: GB of images of compressed files that may be copied; above, images are read in
            groups of rows, which is slow.

    Raises:
        DataError: there is no such data set, it can't be read, a column or a split is missing, or
            it holds no encoded images.
    """
    files, notes = _files(path, config)
    names = [_training_split(files, train), *_test_splits(files, train, test)]
    columns = _columns([table for name in names for table in files[name]], images, label)
    parts = [_Part.of(name, files[name]) for name in names]
    labels, classes = _labels(parts, columns)
    labelled = [place for place, own in enumerate(labels[1:], 1) if own is not None]
    used = [0, *(labelled or range(1, len(parts)))[:1]]
    splits = []
    for place in used:
        split, remarks = parts[place].split(labels[place], columns, copy_limit)
        splits.append(split)
        notes += tuple(note for note in remarks if note not in notes)
    notes += columns.notes
    if len(splits) == 1:
        kept, scored = with_test_part(splits[0], test_fraction)
        return Data(kept, scored, classes=classes, notes=notes)
    without = [names[place] for place in used if labels[place] is None]
    if classes and without:
        notes += (f"the split {without[0]} has no labels in the column {columns.label}",)
    return Data(splits[0], splits[1], classes=classes, notes=notes)


def _files(path: str, config: str) -> tuple[Splits, tuple[str, ...]]:
    if not path.strip():
        raise DataError("data.path is empty; name a file, a folder, or a data set of the hub")
    try:
        root = Path(path).expanduser()
        exists = root.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"data.path: {path!r:.80} can't be opened ({error})") from error
    if exists:
        return local_files(root, config)
    # A path has been made absolute, unlike a name on the hub.
    if root.is_absolute() or path.count("/") > 1 or path.startswith("."):
        raise DataError(f"{path} does not exist; expected Parquet or Arrow files, or their folder")
    return hub_files(path, config), ()


def _training_split(files: Splits, train: str) -> str:
    if train != AUTO:
        return _existing(files, "train", train)
    if "train" in files or len(files) == 1:
        return "train" if "train" in files else next(iter(files))
    raise DataError(f"data.train: choose the split to train on, of {', '.join(sorted(files))}")


def _test_splits(files: Splits, train: str, test: str) -> list[str]:
    if test != AUTO:
        return [_existing(files, "test", test)]
    trained = _training_split(files, train)
    return [name for name in _TESTS if name in files and name != trained]


def _existing(files: Splits, setting: str, name: str) -> str:
    if name not in files:
        raise DataError(
            f"data.{setting}: there is no split {name!r}{nearest(name, files)}; there are "
            f"{', '.join(sorted(files))}"
        )
    return name


def _columns(tables: Sequence[Path], images: str, label: str) -> Columns:
    """Return the columns of the tables, which all of them have.

    Raises:
        DataError: a table lacks one, or has one of another type.
    """
    schema = schema_of(tables[0])
    columns = columns_of(schema, images, label)
    for table in tables[1:]:
        other = schema_of(table)
        for name in filter(None, (columns.images, columns.label)):
            if name not in other.names:
                raise DataError(f"{table} has no column {name!r}, and {tables[0].name} has one")
            if other.field(name).type != schema.field(name).type:
                raise DataError(
                    f"{table}: the column {name} holds {other.field(name).type}, and that of "
                    f"{tables[0].name} {schema.field(name).type}"
                )
    return columns


@dataclass(frozen=True)
class _Part:
    """The tables of a split."""

    name: str
    tables: list[Path]
    counts: list[int]

    @classmethod
    def of(cls, name: str, tables: list[Path]) -> _Part:
        counts = [num_rows(table) for table in tables]
        if not sum(counts):
            raise DataError(f"the split {name} has no rows ({tables[0]})")
        return cls(name, tables, counts)

    def labels(self, label: str) -> pa.ChunkedArray:
        import pyarrow as pa

        chunks = [chunk for table in self.tables for chunk in column(table, label).chunks]
        return pa.chunked_array(chunks)

    def split(
        self, labels: Tensor | None, columns: Columns, copy_limit: float
    ) -> tuple[Split, tuple[str, ...]]:
        """Return the images that are present, with their labels, and notes."""
        found = images_of(
            [Column(table, columns.images, columns.of_struct) for table in self.tables],
            columns.has_paths,
            copy_limit,
        )
        paths: list[pa.ChunkedArray | None] = [
            column(table, columns.images, "path") if columns.has_paths else None
            for table in self.tables
        ]
        named = Named(paths, [table.name for table in self.tables], row_numbers(self.counts))
        names = NamesOfRows(named.name, np.arange(len(named.rows)))
        split = Split(found.source, labels, names=names)
        if not found.present.all():
            split = chosen(split, torch.from_numpy(found.present.nonzero()[0]))
        return split, found.notes


def _labels(
    parts: Sequence[_Part], columns: Columns
) -> tuple[list[Tensor | None], tuple[str, ...]]:
    if columns.label is None:
        return [None] * len(parts), ()
    read = [part.labels(columns.label) for part in parts]
    labels, classes = labels_of(read, columns.label, columns.classes)
    return labels, classes if any(own is not None for own in labels) else ()
