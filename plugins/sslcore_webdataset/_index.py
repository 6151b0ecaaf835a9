"""The samples of a shard and where their images lie, packed into arrays and kept in the cache."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sslcore.system.files import write_safely

if TYPE_CHECKING:
    import numpy as np

#: Raise it when the arrays, or what is taken for a sample, change.
_VERSION = "2"


class Shard(NamedTuple):
    """A shard in one state.

    Attributes:
        path: of the file, or its address.
        size: bytes.
        state: changes with the content.
    """

    path: str
    size: int
    state: str

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return self.path.rpartition("/")[2]


class Wanted(NamedTuple):
    """What is taken from samples.

    Attributes:
        label: the key of `.json` with the label; None takes `.cls`, and an empty text nothing.
        image: the ending of images; None takes the one that each sample has.
    """

    label: str | None
    image: str | None


@dataclass(frozen=True)
class Remarks:
    """What else is known of the samples of a shard.

    Attributes:
        cut: where and how the shard ends too early; empty if it does not.
        without_image: number of samples without an image.
        first_without: the key of the first.
        left_out: number of links and sparse files.
        first_left_out: the name of the first.
        json_keys: keys of the first `.json`; empty if there is none.
    """

    cut: str = ""
    without_image: int = 0
    first_without: str = ""
    left_out: int = 0
    first_left_out: str = ""
    json_keys: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """The N samples of a shard that have an image, in the order of the archive.

    Attributes:
        names: the names of the images one after another, uint8.
        ends: where each name ends in `names`, int64, (N,).
        hashes: of the names, uint64, (N,).
        starts: where each image begins in the shard, bytes, int64, (N,).
        sizes: of the images, bytes, uint32, (N,).
        labels: the number of each label in `texts`, int32, (N,); -1 for none.
        texts: the labels of the shard.
        remarks: what else is known.
    """

    names: np.ndarray
    ends: np.ndarray
    hashes: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    texts: tuple[str, ...]
    remarks: Remarks

    def __len__(self) -> int:
        return len(self.starts)

    def save(self, path: Path, shard: Shard) -> None:
        """Write the index of a shard.

        Raises:
            OSError, RunFolderError: it can't be written.
        """
        about = {
            "version": _VERSION,
            "shard": json.dumps(shard),
            "texts": json.dumps(self.texts),
            "remarks": json.dumps(vars(self.remarks)),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_safely(path, save({name: getattr(self, name) for name in _ARRAYS}, about))

    @classmethod
    def load(cls, path: Path, shard: Shard) -> ShardIndex | None:
        """Return the index of a shard in this state; None if there is none that can be read."""
        try:
            with safe_open(path, framework="np") as file:
                about = file.metadata() or {}
                if about["version"] != _VERSION or json.loads(about["shard"]) != list(shard):
                    return None
                arrays = {name: file.get_tensor(name) for name in _ARRAYS}
            remarks = json.loads(about["remarks"])
            remarks["json_keys"] = tuple(remarks["json_keys"])
            texts = tuple(json.loads(about["texts"]))
            index = cls(**arrays, texts=texts, remarks=Remarks(**remarks))
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            return None
        return index if index._consistent(shard) else None

    def _consistent(self, shard: Shard) -> bool:
        """Whether the arrays fit to each other and to the shard."""
        count = len(self)
        if any(len(getattr(self, name)) != count for name in _ARRAYS[1:]):
            return False
        return count == 0 or (
            int(self.ends[-1]) == len(self.names)
            and int((self.starts + self.sizes).max()) <= shard.size
            and int(self.labels.max()) < len(self.texts)
        )


_ARRAYS = ("names", "ends", "hashes", "starts", "sizes", "labels")
