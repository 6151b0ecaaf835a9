"""CIFAR-10 and CIFAR-100 from their binary version; the pickle version is never loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sslcore.data import Data, Split
from sslcore_torchvision._download import Published, archive, read

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_HOST = "https://www.cs.toronto.edu/~kriz"

CIFAR10 = Published(
    name="cifar10",
    folder="cifar-10-batches-bin",
    files=(
        *(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test_batch.bin",
        "batches.meta.txt",
    ),
    url=f"{_HOST}/cifar-10-binary.tar.gz",
    fetch=archive(f"{_HOST}/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
)

CIFAR100 = Published(
    name="cifar100",
    folder="cifar-100-binary",
    files=("train.bin", "test.bin", "fine_label_names.txt"),
    url=f"{_HOST}/cifar-100-binary.tar.gz",
    fetch=archive(f"{_HOST}/cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
)


def cifar10(*, root: str | None = None, download: bool = True) -> Data:
    """Return CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32 px in ten classes.

    Args:
        root: folder that contains "cifar-10-batches-bin"; none is the cache directory.
        download: whether to fetch it (170 MB) if it is missing.

    Raises:
        DataError: the files are missing and can't be fetched, or are damaged.
    """
    folder = CIFAR10.locate(root, download=download)
    *batches, test, names = CIFAR10.files
    return Data(
        train=_read([folder / batch for batch in batches], label_bytes=1),
        test=_read([folder / test], label_bytes=1),
        classes=_names(folder / names),
    )


def cifar100(*, root: str | None = None, download: bool = True) -> Data:
    """Return CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32 px in 100 classes.

    Args:
        root: folder that contains "cifar-100-binary"; none is the cache directory.
        download: whether to fetch it (168 MB) if it is missing.

    Raises:
        DataError: the files are missing and can't be fetched, or are damaged.
    """
    folder = CIFAR100.locate(root, download=download)
    train, test, names = CIFAR100.files
    return Data(
        train=_read([folder / train], label_bytes=2),
        test=_read([folder / test], label_bytes=2),
        classes=_names(folder / names),
    )


def _read(files: list[Path], *, label_bytes: int) -> Split:
    """Read rows: labels, of which the last is the finest, then an image's three planes."""
    row_bytes = label_bytes + _PIXELS
    rows = torch.from_numpy(np.concatenate([read(file, row_bytes=row_bytes) for file in files]))
    images = rows[:, label_bytes:].view(-1, 3, _SIDE, _SIDE)
    return Split(images, rows[:, label_bytes - 1].to(torch.int64))


def _names(file: Path) -> tuple[str, ...]:
    return tuple(file.read_text(encoding="utf-8").split())
