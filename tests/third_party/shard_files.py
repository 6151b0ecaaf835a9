"""Writes tar shards for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def png(value: int, side: int = 4) -> bytes:
    """Return a grey image with one value, which identifies it."""
    made = io.BytesIO()
    Image.fromarray(np.full((side, side), value, dtype=np.uint8)).save(made, "PNG")
    return made.getvalue()


def value_of(content: bytes) -> int:
    """Return the value of an image made by `png`."""
    return int(np.asarray(Image.open(io.BytesIO(content))).flat[0])


def write_shard(
    path: Path, files: Iterable[tuple[str, bytes]], format: int = tarfile.GNU_FORMAT
) -> Path:
    """Write a shard of some files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as shard:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path


def samples(values: Iterable[int], labels: str | None = "ab") -> list[tuple[str, bytes]]:
    """Return the files of samples that are named and identified by their values.

    Args:
        values: of the images.
        labels: of which each sample has one by turns, in a `.cls`; or None.
    """
    files = []
    for value in values:
        files.append((f"{value:04}.png", png(value)))
        if labels is not None:
            files.append((f"{value:04}.cls", labels[value % len(labels)].encode()))
    return files
