"""Views normalised by the mean and the standard deviation of the training images."""

from __future__ import annotations

from dataclasses import replace

from sslcore.data import Data
from sslcore.data.sample import mean_and_std
from sslcore.errors import UsageError
from sslcore.recipe.recipe import Recipe
from sslcore.runs.about import NORMALIZATION

#: Digits of a mean and a standard deviation.
_DIGITS = 4
#: The least standard deviation of a channel: one without any structure is not magnified.
_LEAST = 1e-3


def normalized_by_data(recipe: Recipe, data: Data) -> tuple[Recipe, str]:
    """Return the recipe with the mean and the standard deviation of the data, and a note.

    Raises:
        UsageError: the augmentation has no such settings.
    """
    own = dict(recipe.augmentation.settings)
    if not all(name in own for name in NORMALIZATION):
        raise UsageError(
            f"data.statistics: {recipe.augmentation} has no settings {' and '.join(NORMALIZATION)}"
        )
    measured = mean_and_std(data.train)
    mean = tuple(round(value, _DIGITS) for value in measured[0])
    std = tuple(max(_LEAST, round(value, _DIGITS)) for value in measured[1])
    taken = dict(zip(NORMALIZATION, (mean, std), strict=True))
    augmentation = replace(recipe.augmentation, settings=own | taken)
    note = f"views are normalised by the training images: mean {mean}, std {std}"
    return replace(recipe, augmentation=augmentation), note
