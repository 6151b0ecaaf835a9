"""The images of a recipe, opened: those to train on, and those that evaluators use."""

from __future__ import annotations

from dataclasses import replace

from sslcore.contract.interface import interface_of, load_reference
from sslcore.data import Data, Split
from sslcore.data.elsewhere import evaluated_on
from sslcore.errors import UsageError
from sslcore.pipeline.build import ImageShape, open_data, takes_boxes
from sslcore.recipe.recipe import Part, Recipe
from sslcore.system.watching import Watch, unwatched
from sslcore.training.labels import is_supervised, training_on_labels


def open_images(recipe: Recipe, watch: Watch = unwatched) -> tuple[Data, Recipe]:
    """Return the images of a recipe; those for evaluators have the form of the training images.

    Args:
        recipe: the recipe.
        watch: is told how many images are resized.

    Returns:
        The images, and the recipe with the settings that lead to the same form again.

    Raises:
        UsageError: the data can't be read, lacks the labels that the loss needs, or the images for
            evaluators have another form than those to train on.
    """
    data, part = open_data(recipe.data, boxes=takes_boxes(recipe), watch=watch)
    recipe = replace(recipe, data=part)
    data = training_on_labels(recipe, data)
    if recipe.eval_data is None:
        return data, recipe
    name = name_of(recipe.eval_data)
    other, _ = open_data(_alike(recipe.eval_data, part, data.train), watch=watch)
    shape, found = ImageShape.of(data.train), ImageShape.of(other.fit)
    if found != shape:
        raise UsageError(
            f"the training data has {shape}, and --eval-data {name} has {found}; evaluators need "
            "images of the same form"
        )
    return evaluated_on(data, other, name, classified=is_supervised(recipe)), recipe


def name_of(part: Part) -> str:
    """Return the name of a data set, or the path of the folder that it opens."""
    path = part.settings.get("path")
    return part.name if path is None else str(path)


def _alike(part: Part, other: Part, images: Split) -> Part:
    """Return a data set that opens its images in the form of others, as far as it can.

    A setting that was chosen is kept.

    Args:
        part: the data set.
        other: the other one, as it was opened.
        images: the images of the other one.
    """
    own = interface_of(load_reference(part.build)).settings
    form = {
        "image_size": images.image_size,
        "channels": images.channels,
        "range": other.settings.get("range"),
        "scale_bytes": other.settings.get("scale_bytes"),
        "background": other.settings.get("background"),
    }
    taken = {
        name: value
        for name, value in form.items()
        if value is not None
        and (part.settings[name] == own[name].default if name in own else name not in part.settings)
    }
    if "range" not in taken:
        taken.pop("scale_bytes", None)
    return replace(part, settings={**part.settings, **taken})
