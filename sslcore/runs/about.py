"""What the file of an encoder says of itself, for whoever opens it without its run."""

from __future__ import annotations

import sslcore
from sslcore.pipeline.build import ImageShape
from sslcore.recipe.recipe import Recipe
from sslcore.recipe.toml import plain
from sslcore.system.files import to_json

#: The name of the metadata.
ABOUT = "sslcore"

#: The settings of an augmentation that normalise its views.
NORMALIZATION = ("mean", "std")


def about_encoder(
    recipe: Recipe, shape: ImageShape, feature_dim: int | None, *, data: str, step: int
) -> dict[str, str]:
    """Return the metadata of `encoder.safetensors`: JSON under one name.

    The names of metadata have no order in a safetensors file, and equal runs have equal files.

    Args:
        recipe: the recipe of the run.
        shape: of the images.
        feature_dim: length of a feature vector.
        data: the name of the data set.
        step: the step of the weights.
    """
    views = {
        name: value
        for name in NORMALIZATION
        if (value := recipe.augmentation.settings.get(name)) is not None
    }
    about: dict[str, object] = {
        "encoder": recipe.encoder.name,
        "from": str(recipe.encoder.origin),
        "settings": recipe.encoder.settings,
        "image_size": shape.image_size,
        "channels": shape.channels,
        "feature_dim": feature_dim,
        **views,
        "method": recipe.method,
        "data": data,
        "step": step,
        "version": sslcore.__version__,
    }
    return {ABOUT: to_json(plain(about))}
