"""What parts are told of the images to train on: their number, and dummies of their extras."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcore.data import Split
from sslcore.data.extras import rows_of_extras
from sslcore.recipe.recipe import Training


def numbers_of_training(training: Training, num_images: int) -> dict[str, int]:
    """Return the numbers that constructors may ask for.

    Args:
        training: the settings of the loop.
        num_images: how many images there are to train on.
    """
    return {
        "num_images": num_images,
        "epochs": training.epochs,
        "steps_per_epoch": num_images // training.batch_size,
    }


def first_extras(split: Split, batch: int) -> dict[str, Tensor]:
    """Return the extras of the first images, as a batch of dummies has them."""
    return rows_of_extras(split.extras, torch.arange(batch) % len(split))
