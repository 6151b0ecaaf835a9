"""The features of all images of a data set, written to a file batch by batch."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sslcore.data import Split
from sslcore.data.labels import class_of
from sslcore.errors import UsageError
from sslcore.evaluation.evaluate import batches
from sslcore.system.files import output_path, replacing, write_safely

if TYPE_CHECKING:
    from sslcore.evaluation.extractor import FeatureExtractor

#: How the files end that can be written.
ENDINGS = (".npy", ".parquet")

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
#: Split, name and class of an image; the class is empty where there is none.
Item = tuple[str, str, str]
#: Writes a batch of images and their features.
Write = Callable[[Sequence[Item], Array], None]


def checked_output(named: str | Path) -> Path:
    """Return the path of an output; refuse it before anything is computed.

    Raises:
        UsageError: it ends in neither `.npy` nor `.parquet`, its folder is missing, or pyarrow is.
    """
    path = output_path(named, ENDINGS)
    if path.suffix.lower() == ".parquet":
        _pyarrow()
    return path


def write_features(
    path: Path,
    extract: FeatureExtractor,
    splits: Mapping[str, Split],
    classes: Sequence[str],
    *,
    device: torch.device,
    progress: Callable[[int], object] = lambda count: None,
) -> None:
    """Write the features of images.

    A `.npy` file has them as float32 (N, F), in the order of the splits; the index beside it, a
    CSV file, has split, name and label of each row. A `.parquet` file has them as columns: split,
    name, label, vector. Images and features are in memory for one batch at a time.

    Args:
        path: the file.
        extract: from images to features (B, F).
        splits: by name, with one image at least.
        classes: names of the classes.
        device: where to compute.
        progress: is told the number of images done.

    Raises:
        RunFolderError: the file can't be written; an earlier file is unchanged.
    """
    total = sum(map(len, splits.values()))
    parquet = path.suffix.lower() == ".parquet"
    with replacing(path) as temporary:
        opened = _parquet(temporary) if parquet else _npy(temporary, path, total)
        with opened as write:
            done = 0
            for items, features in _batches(extract, splits, classes, device):
                write(items, features)
                done += len(items)
                progress(done)


@torch.no_grad()
def _batches(
    extract: FeatureExtractor,
    splits: Mapping[str, Split],
    classes: Sequence[str],
    device: torch.device,
) -> Iterator[tuple[list[Item], Array]]:
    for which, split in splits.items():
        for rows, images in batches(split, device):
            features = extract(images).float().cpu().numpy()
            yield [item(which, split, row, classes) for row in rows.tolist()], features


def item(which: str, split: Split, row: int, classes: Sequence[str]) -> Item:
    """Return split, name and class of the image in a row."""
    return which, split.name_of(row), class_of(split.labels, row, classes)


@contextmanager
def _npy(temporary: Path, path: Path, total: int) -> Iterator[Write]:
    """Yield a function that writes a batch; the index is written at the end, beside `path`."""
    index = io.StringIO()
    rows = csv.writer(index, lineterminator="\n")
    rows.writerow(["row", "split", "name", "label"])
    vectors: Any = None
    done = 0

    def write(items: Sequence[Item], features: Array) -> None:
        nonlocal vectors, done
        if vectors is None:
            shape = (total, features.shape[1])
            vectors = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        vectors[done : done + len(items)] = features
        rows.writerows([done + number, *item] for number, item in enumerate(items))
        done += len(items)

    yield write
    vectors.flush()
    write_safely(path.with_suffix(".csv"), index.getvalue())


@contextmanager
def _parquet(temporary: Path) -> Iterator[Write]:
    """Yield a function that writes a batch."""
    pyarrow, parquet = _pyarrow()
    writer: Any = None

    def write(items: Sequence[Item], features: Array) -> None:
        nonlocal writer
        which, names, labels = zip(*items, strict=True)
        vectors = pyarrow.FixedSizeListArray.from_arrays(
            pyarrow.array(features.reshape(-1)), features.shape[1]
        )
        columns = [*map(pyarrow.array, (which, names, labels)), vectors]
        table = pyarrow.table(columns, names=["split", "name", "label", "vector"])
        if writer is None:
            writer = parquet.ParquetWriter(temporary, table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            f"a .parquet file needs a library that is not installed ({error}): pip install "
            "'sslcore[parquet]'; a .npy file needs none"
        ) from error
    return pyarrow, parquet
