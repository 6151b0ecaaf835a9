"""How many images a data set without a test split holds out: its setting, and the default."""

from __future__ import annotations

#: The setting of a data set that holds out a part of its images: the fraction of each class, 0 for
#: nothing, and None where the data set decides.
TEST_FRACTION = "test_fraction"
#: The fraction that is held out where it is not set.
HELD_OUT = 0.2


def fraction_held_out(chosen: float | None, *, labelled: bool) -> float:
    """Return the fraction of images to hold out, in [0, 1).

    Args:
        chosen: the setting; None holds out a fifth of images with labels, and nothing of others.
        labelled: whether the images have labels.
    """
    if chosen is None:
        return HELD_OUT if labelled else 0.0
    return chosen
