"""STL-10 from its binary files, mapped into memory: the unlabelled part alone is 2.8 GB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sslcore.data import Data, Split
from sslcore.data.mapping import mapped
from sslcore.errors import DataError
from sslcore_torchvision._download import Published, archive, read, require_rows

_SIDE = 96
_URL = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"

STL10 = Published(
    name="stl10",
    folder="stl10_binary",
    files=(
        "unlabeled_X.bin",
        "train_X.bin",
        "train_y.bin",
        "test_X.bin",
        "test_y.bin",
        "class_names.txt",
    ),
    url=_URL,
    fetch=archive(_URL, "91f7769df0f17e558f3565bffb0c7dfb"),
)


def stl10(*, root: str | None = None, download: bool = True) -> Data:
    """Return STL-10 (Coates et al. 2011): colour images of 96 px in ten classes.

    Training uses the 100,000 unlabelled images; evaluators fit on the 5,000 labelled images and
    test on the 8,000 test images.

    Args:
        root: folder that contains "stl10_binary"; none is the cache directory.
        download: whether to fetch it (2.6 GB) if it is missing.

    Raises:
        DataError: the files are missing and can't be fetched, or are damaged.
    """
    folder = STL10.locate(root, download=download)
    return Data(
        train=_split(folder / "unlabeled_X.bin"),
        probe=_split(folder / "train_X.bin", _labels(folder / "train_y.bin")),
        test=_split(folder / "test_X.bin", _labels(folder / "test_y.bin")),
        classes=tuple((folder / "class_names.txt").read_text(encoding="utf-8").split()),
    )


def _split(file: Path, labels: Tensor | None = None) -> Split:
    try:
        require_rows(file, file.stat().st_size, 3 * _SIDE * _SIDE)
        rows, mapped_file = mapped(lambda mode: np.memmap(file, dtype=np.uint8, mode=mode))
    except OSError as error:
        raise DataError(f"{file} can't be read ({error})") from error
    # The planes are stored column by column.
    images = rows.view(-1, 3, _SIDE, _SIDE).transpose(-1, -2)
    return Split(images, labels, mapped_file)


def _labels(file: Path) -> Tensor:
    # Classes are counted from 1.
    return torch.from_numpy(read(file, row_bytes=1)[:, 0].astype(np.int64) - 1)
