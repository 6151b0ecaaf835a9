"""Small shards of images, for checks."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

from sslcore.testing.parts.examples import class_folders

#: Images of each shard.
_IMAGES = 8


def write(folder: Path) -> Path:
    """Write two shards of images of two classes into an empty folder; return the folder."""
    with tempfile.TemporaryDirectory() as images:
        paths = sorted(class_folders(Path(images)).glob("*/*.png"))
        for number in range(0, len(paths), _IMAGES):
            with tarfile.open(folder / f"{number // _IMAGES:06}.tar", "w") as shard:
                for row, path in enumerate(paths[number : number + _IMAGES], number):
                    _add(shard, f"{row:04}.png", path.read_bytes())
                    _add(shard, f"{row:04}.cls", path.parent.name.encode())
    return folder


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))
