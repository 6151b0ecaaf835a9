"""The features of all images of a data set, written to a file batch by batch."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sslcore.data import Split
from sslcore.data.reader import Rows
from sslcore.errors import UsageError
from sslcore.evaluation.evaluate import batch_size
from sslcore.system.files import replacing, write_safely

if TYPE_CHECKING:
    from sslcore.evaluation.extractor import FeatureExtractor

#: How the files end that can be written.
ENDINGS = (".npy", ".parquet")

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
#: Split, name and class of an image; the class is empty where there is none.
Item = tuple[str, str, str]


def check_output(path: Path) -> None:
    """Refuse an output that can't be written, before anything is computed.

    Raises:
        UsageError: it ends in neither `.npy` nor `.parquet`, its folder is missing, or pyarrow is.
    """
    if path.suffix not in ENDINGS:
        raise UsageError(f"--output {path}: it must end in {' or '.join(ENDINGS)}")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--output {path}: it must be a file in a folder that exists")
    if path.suffix == ".parquet":
        _pyarrow()


def index_of(path: Path) -> Path:
    """Return the path of the index beside a file of vectors."""
    return path.with_suffix(".csv")


def write_features(
    path: Path,
    extract: FeatureExtractor,
    splits: Mapping[str, Split],
    classes: Sequence[str],
    *,
    device: torch.device,
    length: int,
    progress: Callable[[int], object] = lambda count: None,
) -> int:
    """Write the features of images, and return the number of images.

    A `.npy` file has them as float32 (N, F), in the order of the splits; the index beside it, a
    CSV file, has split, name and label of each row. A `.parquet` file has them as columns: split,
    name, label, vector. Images and features are in memory for one batch at a time.

    Args:
        path: the file.
        extract: from images to features (B, F).
        splits: by name.
        classes: names of the classes.
        device: where to compute.
        length: F.
        progress: is told the number of images done.

    Raises:
        RunFolderError: the file can't be written; an earlier file is unchanged.
    """
    total = sum(map(len, splits.values()))
    batches = _batches(extract, splits, classes, device)
    if path.suffix == ".parquet":
        _write_parquet(path, batches, progress)
        return total
    index = io.StringIO()
    rows = csv.writer(index, lineterminator="\n")
    rows.writerow(["row", "split", "name", "label"])
    with replacing(path) as temporary:
        vectors = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.float32, shape=(total, length)
        )
        done = 0
        for items, features in batches:
            vectors[done : done + len(items)] = features
            rows.writerows([done + number, *item] for number, item in enumerate(items))
            done += len(items)
            progress(done)
        vectors.flush()
        del vectors
        write_safely(index_of(path), index.getvalue())
    return total


@torch.no_grad()
def _batches(
    extract: FeatureExtractor,
    splits: Mapping[str, Split],
    classes: Sequence[str],
    device: torch.device,
) -> Iterator[tuple[list[Item], Array]]:
    for which, split in splits.items():
        reader = Rows(split.images, split.file)
        for rows in torch.arange(len(split)).split(batch_size(split)):
            features = extract(reader.read(rows, device).to(device)).float().cpu().numpy()
            yield [_item(which, split, row, classes) for row in rows.tolist()], features


def _item(which: str, split: Split, row: int, classes: Sequence[str]) -> Item:
    label = -1 if split.labels is None else int(split.labels[row])
    named = classes[label] if 0 <= label < len(classes) else "" if label < 0 else str(label)
    return which, split.name_of(row), named


def _write_parquet(
    path: Path,
    batches: Iterator[tuple[list[Item], Array]],
    progress: Callable[[int], object],
) -> None:
    pyarrow, parquet = _pyarrow()
    writer, done = None, 0
    with replacing(path) as temporary:
        try:
            for items, features in batches:
                which, names, labels = zip(*items, strict=True)
                vectors = pyarrow.FixedSizeListArray.from_arrays(
                    pyarrow.array(features.reshape(-1)), features.shape[1]
                )
                columns = [*map(pyarrow.array, (which, names, labels)), vectors]
                table = pyarrow.table(columns, names=["split", "name", "label", "vector"])
                if writer is None:
                    writer = parquet.ParquetWriter(temporary, table.schema)
                writer.write_table(table)
                done += len(items)
                progress(done)
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
