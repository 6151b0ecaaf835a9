"""The labelled images of a run whose loss is supervised."""

from __future__ import annotations

from sslcore.contract.interface import interface_of, load_reference
from sslcore.data import Data
from sslcore.data.labelled import labelled
from sslcore.errors import UsageError
from sslcore.recipe.recipe import Recipe


def training_on_labels(recipe: Recipe, data: Data) -> Data:
    """Return the data with the labelled images that a supervised loss trains on.

    A loss with a default for `labels` trains on all images; those without a label have -1.

    Raises:
        UsageError: the loss needs labels and the data has none, or settings of labels are given
            for another loss.
    """
    training = recipe.training
    needs = interface_of(load_reference(recipe.loss.build)).needs
    if "labels" in needs:
        return labelled(
            data,
            optional=not needs["labels"],
            per_class=training.labels_per_class,
            fraction=training.label_fraction,
            seed=training.seed,
        )
    for name in ("labels_per_class", "label_fraction"):
        if getattr(training, name) is not None:
            raise UsageError(f"training.{name}: {recipe.loss} does not train on labels")
    return data


def is_supervised(recipe: Recipe) -> bool:
    """Whether the loss of a recipe asks for labels."""
    return "labels" in interface_of(load_reference(recipe.loss.build)).needs
