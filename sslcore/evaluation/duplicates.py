"""Groups of near-duplicates: images whose whitened features have a high cosine similarity."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch

from sslcore.data import Split
from sslcore.errors import DiskError, UsageError
from sslcore.evaluation.embedding import Array, item
from sslcore.evaluation.evaluate import batches

if TYPE_CHECKING:
    from sslcore.evaluation.extractor import FeatureExtractor

#: Vectors that are compared at a time, with as many others.
BLOCK = 2048
#: What is added to the variance along each axis, in mean variances. Without it, whitening would
#: enlarge the axes of little variance, which are noise.
_SHRINKAGE = 0.1
#: By how much the similarity of equal images may be below 1.
_ROUNDING = 1e-5
#: Stands for the similarity of an image that has no near-duplicate.
_NONE = -2.0


@dataclass(frozen=True)
class Duplicate:
    """An image in a group of near-duplicates.

    Attributes:
        similarity: to the most similar other image of its group, in [-1, 1].
        split: "train" or "test".
        row: its place in the split.
        name: of the image.
        label: name of its class, or empty.
    """

    similarity: float
    split: str
    row: int
    name: str
    label: str


def find_duplicates(
    extract: FeatureExtractor,
    splits: Mapping[str, Split],
    classes: Sequence[str],
    *,
    above: float,
    device: torch.device,
    embedded: Callable[[int], object] = lambda count: None,
    compared: Callable[[int], object] = lambda count: None,
) -> list[list[Duplicate]]:
    """Return groups of images that are near-duplicates, the most similar group first.

    The features are whitened: they are centred, turned to the principal axes of the data set and
    divided by the standard deviation along each. Two images belong to one group if their cosine
    similarity is high, or if a chain of such pairs joins them. The features are in a temporary
    file; in memory are two blocks of them.

    Args:
        extract: from images to features (B, F).
        splits: by name.
        classes: names of the classes.
        above: the least similarity of a pair, in (0, 1].
        device: where to compute.
        embedded: receives the number of images whose features are computed.
        compared: receives the number of images that are compared with all later ones.

    Raises:
        UsageError: there are fewer than two images, or their features are all equal or not finite.
        DiskError: the temporary file can't be written.
    """
    total = sum(map(len, splits.values()))
    if total < 2:
        raise UsageError(f"there is {total} image, and at least 2 are needed to compare them")
    with tempfile.TemporaryFile() as file:
        whiten = _store(file, extract, splits, device, total, embedded)
        vectors = _Vectors(file, total, len(whiten.mean))
        vectors.whiten(whiten)
        parent, best = _joined(vectors, above, device, compared)
    members: dict[int, list[int]] = {}
    for row in np.flatnonzero(best > _NONE).tolist():
        members.setdefault(int(parent[row]), []).append(row)
    places = [(which, row) for which, split in splits.items() for row in range(len(split))]
    groups = []
    for rows in sorted(members.values(), key=lambda rows: (-float(best[rows].max()), rows)):
        group = []
        for number in rows:
            which, row = places[number]
            _, name, label = item(which, splits[which], row, classes)
            group.append(Duplicate(min(1.0, float(best[number])), which, row, name, label))
        groups.append(group)
    return groups


def _write(file: BinaryIO, vectors: Array) -> None:
    """Write float32 vectors at the present place of a temporary file."""
    try:
        file.write(vectors.astype(np.float32).tobytes())
        file.flush()
    except OSError as error:
        raise DiskError(
            f"the features can't be written to a temporary file in {tempfile.gettempdir()} "
            f"({error.strerror}); free some space or set TMPDIR to another folder"
        ) from error


@dataclass(frozen=True)
class _Whitening:
    """Centres vectors (F,) and multiplies them by a matrix (F, F)."""

    mean: Array
    matrix: Array

    @classmethod
    def of(cls, count: int, total: Array, products: Array) -> _Whitening:
        """Return it for so many vectors, by their sum (F,) and the sum of their products (F, F)."""
        mean = total / count
        power = products.trace() / count
        if not np.isfinite(power):
            raise UsageError("the encoder gives features that are not finite; train it anew")
        covariance = products / count - np.outer(mean, mean)
        variance = covariance.trace() / len(mean)
        if variance * len(mean) <= 1e-10 * power:
            raise UsageError(
                "all images have the same features: they are copies of one image, or the encoder "
                "has collapsed"
            )
        values, axes = np.linalg.eigh(covariance)
        # Few images tell little of the variances, so these are shrunk the more.
        shrinkage = _SHRINKAGE + len(mean) / count
        return cls(mean, axes / np.sqrt(values.clip(0) + shrinkage * variance))


class _Vectors:
    """Vectors (N, F), float32, in a file."""

    def __init__(self, file: BinaryIO, count: int, width: int) -> None:
        self.count, self._file, self._width = count, file, width

    def read(self, start: int) -> Array:
        """Return the block of vectors that begins with a row."""
        count = min(BLOCK, self.count - start)
        self._file.seek(start * self._width * 4)
        content = self._file.read(count * self._width * 4)
        return np.frombuffer(content, dtype=np.float32).reshape(count, self._width)

    def whiten(self, whitening: _Whitening) -> None:
        """Replace the vectors by whitened ones of length 1."""
        for start in range(0, self.count, BLOCK):
            white = (self.read(start) - whitening.mean) @ whitening.matrix
            white /= np.linalg.norm(white, axis=1, keepdims=True).clip(1e-12)
            self._file.seek(start * self._width * 4)
            _write(self._file, white)


@torch.no_grad()
def _store(
    file: BinaryIO,
    extract: FeatureExtractor,
    splits: Mapping[str, Split],
    device: torch.device,
    count: int,
    progress: Callable[[int], object],
) -> _Whitening:
    """Write all features to a file and return their whitening."""
    total: Array | None = None
    products: Array | None = None
    done = 0
    for split in splits.values():
        for rows, images in batches(split, device):
            features = extract(images).float().cpu().numpy()
            _write(file, features)
            exact = features.astype(np.float64)
            total = exact.sum(0) + (0 if total is None else total)
            products = exact.T @ exact + (0 if products is None else products)
            done += len(rows)
            progress(done)
    assert total is not None
    assert products is not None
    return _Whitening.of(count, total, products)


def _joined(
    vectors: _Vectors, above: float, device: torch.device, progress: Callable[[int], object]
) -> tuple[Array, Array]:
    """Return for each vector the first one of its group, and its highest similarity."""
    count = vectors.count
    parent, best = np.arange(count), np.full(count, _NONE, dtype=np.float32)
    starts = range(0, count, BLOCK)
    for start in starts:
        block = torch.from_numpy(vectors.read(start).copy()).to(device)
        for other in starts[start // BLOCK :]:
            others = block if other == start else torch.from_numpy(vectors.read(other).copy())
            similar = block @ others.to(device).T
            near = similar >= above - _ROUNDING
            if other == start:
                near.triu_(1)
            pairs = near.nonzero(as_tuple=True)
            if not len(pairs[0]):
                continue
            values = similar[pairs].cpu().numpy()
            left, right = (each.cpu().numpy() for each in pairs)
            left, right = left + start, right + other
            np.maximum.at(best, left, values)
            np.maximum.at(best, right, values)
            _join(parent, left, right)
        progress(min(count, start + BLOCK))
    return parent, best


def _join(parent: Array, left: Array, right: Array) -> None:
    """Join the groups of pairs, in place; each row of `parent` has the first row of its group."""
    apart = parent[left] != parent[right]
    for pair in zip(parent[left[apart]].tolist(), parent[right[apart]].tolist(), strict=True):
        low, high = sorted(_root(parent, row) for row in pair)
        parent[high] = low
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return
        parent[:] = above


def _root(parent: Array, row: int) -> int:
    while parent[row] != row:
        parent[row] = row = int(parent[parent[row]])
    return row
