"""Maps: features placed in two dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sslcore.errors import UsageError, nearest

#: Fewer images than this have no map.
FEWEST = 5

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]


@dataclass(frozen=True)
class Mapping2D:
    """A way to place features.

    Attributes:
        title: its name on the picture.
        place: returns places (n, 2) for centred features (n, F), n ≥ `FEWEST`, and a seed.
        text: how to read the map.
        prepare: imports what it needs.
    """

    title: str
    place: Callable[[Array, int], Array]
    text: str
    prepare: Callable[[], object] = lambda: None


def in_two_dimensions(features: Array, seed: int, name: str) -> Array:
    """Return places (n, 2) for features (n, F).

    Args:
        features: at least two numbers each; collapsed ones are placed at one point.
        seed: of the drawn numbers.
        name: one of `MAPS`.
    """
    features = features - features.mean(0)
    if len(features) < FEWEST or np.allclose(features, 0):
        # Collapsed features have no neighbourhoods.
        return np.zeros((len(features), 2))
    return MAPS[name].place(features, seed)


def check_map(name: str) -> None:
    """Raise an error if a map is unknown, or needs a library that is not installed.

    Raises:
        UsageError: the message says which maps there are, or how to install the library.
    """
    if name not in MAPS:
        raise UsageError(
            f"there is no map {name!r}{nearest(name, MAPS)}; maps are {', '.join(MAPS)}"
        )
    MAPS[name].prepare()


def _pca(features: Array, seed: int) -> Array:
    left, values, _ = np.linalg.svd(features, full_matrices=False)
    places: Array = np.zeros((len(features), 2))
    places[:, : len(values)] = (left * values)[:, :2]
    return places


def _tsne(features: Array, seed: int) -> Array:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    init = "pca" if features.shape[1] > 1 else "random"
    tsne = TSNE(perplexity=perplexity, init=init, random_state=seed, max_iter=300)
    found: Array = tsne.fit_transform(features)
    return found


def _umap(features: Array, seed: int) -> Array:
    import warnings

    import umap

    neighbours = min(15, len(features) - 1)
    with warnings.catch_warnings():
        # It warns that a seed leaves it one thread.
        warnings.simplefilter("ignore")
        mapper = umap.UMAP(
            n_neighbors=neighbours,
            random_state=seed,
            init="pca" if features.shape[1] > 1 else "random",
        )
        found: Array = mapper.fit_transform(features)
    return found


def _import_umap() -> None:
    try:
        import umap  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"the map umap needs a library that is not installed ({error}): pip install "
            "'sslcore[umap]'; the maps t-sne and pca need none"
        ) from error


_NEIGHBOURHOODS = (
    "Only neighbourhoods mean something; distances between groups and their sizes do not."
)

#: The maps by name. The first one is the default.
MAPS: Mapping[str, Mapping2D] = {
    "t-sne": Mapping2D(
        "t-SNE", _tsne, f"Placed by t-SNE (van der Maaten and Hinton 2008). {_NEIGHBOURHOODS}"
    ),
    "pca": Mapping2D(
        "PCA",
        _pca,
        "Placed by the first two principal components: distances mean something, but what the "
        "other components tell apart lies on top of each other.",
    ),
    "umap": Mapping2D(
        "UMAP", _umap, f"Placed by UMAP (McInnes et al. 2018). {_NEIGHBOURHOODS}", _import_umap
    ),
}

DEFAULT_MAP = next(iter(MAPS))
