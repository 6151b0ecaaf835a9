"""A third party's data sets: images in memory, in a mapped file, of any size, and encoded."""

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import sslcore
from sslcore.data import Data, MappedFile, Split

_MODULE = __name__


@sslcore.hookimpl
def sslcore_datasets():
    for name, summary in (
        ("deep-noise", "Noise of 12 bits in 4 channels, in memory"),
        ("tiles", "Tiles of a scan of 16 bits, in a file that is mapped into memory"),
        ("cells", "Cells of any size, drawn when they are asked for"),
        ("zipped", "PNG files in a zip archive"),
    ):
        yield sslcore.Dataset(
            name=name, summary=summary, build=f"{_MODULE}:{name.replace('-', '_')}"
        )


def deep_noise(*, seed: int = 0) -> Data:
    """Return noise of 12 bits in 4 channels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 4096, (40, 4, 16, 16), generator=generator, dtype=torch.int16)
    labels = torch.arange(40) % 2
    return Data(
        Split(images[:32], labels[:32]), Split(images[32:], labels[32:]), classes=("a", "b")
    )


def tiles(*, path: str) -> Data:
    """Return the tiles of an .npy file (N, 16, 16) of 16 bits; the last eighth is for testing."""
    array = np.load(path, mmap_mode="c")
    images = torch.from_numpy(array)[:, None]
    file = MappedFile(path, array.offset, images)
    held = len(images) - len(images) // 8
    return Data(train=Split(images[:held], file=file), test=Split(images[held:], file=file))


class Cells:
    """Bright discs in frames of several sizes."""

    def __init__(self, start: int, count: int) -> None:
        self.start, self.count = start, count

    def __len__(self) -> int:
        return self.count

    def read(self, rows):
        return [self.draw(self.start + row) for row in rows]

    def draw(self, number: int) -> torch.Tensor:
        side = 20 + number % 7
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side + 3), indexing="ij")
        radius = 3.0 + number % 5
        return torch.exp(-((y - 9.0) ** 2 + (x - 9.0) ** 2) / radius**2)[None]


def cells() -> Data:
    """Return cells, without labels."""
    return Data(train=Split(Cells(0, 32)), test=Split(Cells(32, 8)))


class Zipped:
    """Files of an archive, which each call opens, so that threads don't share it."""

    def __init__(self, path: str, names: list[str]) -> None:
        self.path, self.names = path, names
        self.fingerprint = f"{path} {Path(path).stat().st_mtime_ns} {names}"

    def __len__(self) -> int:
        return len(self.names)

    def fetch(self, row: int) -> bytes:
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(self.names[row])


def zipped(*, path: str) -> Data:
    """Return the images of an archive: `train/…` and `test/…`."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
    train, test = ([name for name in names if name.startswith(part)] for part in ("train", "test"))
    return Data(
        train=Split(Zipped(path, train), names=train), test=Split(Zipped(path, test), names=test)
    )


def write_zip(path: Path) -> None:
    """Write a small archive that `zipped` opens."""
    draw = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for row in range(40):
            file = io.BytesIO()
            pixels = draw.integers(0, 256, (24 + row % 3, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file, "PNG")
            archive.writestr(f"{'test' if row % 5 == 0 else 'train'}/{row:02}.png", file.getvalue())
