"""Fashion-MNIST, fetched by torchvision and read from its IDX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import FashionMNIST

from sslcore.data import Data, Split
from sslcore_torchvision._download import Published, read

_SIDE = 28
_IMAGES_HEADER = 16
_LABELS_HEADER = 8


def _fetch(base: Path, scratch: Path) -> None:
    FashionMNIST(str(scratch), download=True)


FASHION_MNIST = Published(
    name="fashion-mnist",
    folder="FashionMNIST/raw",
    files=(
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ),
    url=FashionMNIST.mirrors[0],
    fetch=_fetch,
)


def fashion_mnist(*, root: str | None = None, download: bool = True) -> Data:
    """Return Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 grey images of 28 px, ten classes.

    Args:
        root: folder that contains "FashionMNIST/raw"; none is the cache directory.
        download: whether to fetch it (31 MB) if it is missing.

    Raises:
        DataError: the files are missing and can't be fetched, or are damaged.
    """
    folder = FASHION_MNIST.locate(root, download=download)
    train_images, train_labels, test_images, test_labels = FASHION_MNIST.files
    return Data(
        train=_read(folder / train_images, folder / train_labels),
        test=_read(folder / test_images, folder / test_labels),
        classes=tuple(FashionMNIST.classes),
    )


def _read(images: Path, labels: Path) -> Split:
    pixels = torch.from_numpy(read(images, row_bytes=_SIDE * _SIDE, offset=_IMAGES_HEADER))
    classes = read(labels, row_bytes=1, offset=_LABELS_HEADER)[:, 0].astype(np.int64)
    return Split(pixels.view(-1, 1, _SIDE, _SIDE), torch.from_numpy(classes))
