"""Training on one data set, evaluation on another."""

from __future__ import annotations

from dataclasses import replace

from sslcore.data import Data
from sslcore.data.labelled import with_classes


def evaluated_on(data: Data, other: Data, name: str, *, classified: bool) -> Data:
    """Return data whose evaluators use the images of another data set.

    Args:
        data: the images to train on.
        other: the images that evaluators fit on and score.
        name: of the other data set, for a note.
        classified: whether training learns the classes of `data`, which the other data set then
            must have.

    Raises:
        UsageError: the other data set has a class that training does not learn.
    """
    train = data.train
    if classified:
        other = with_classes(other, data.classes)
    elif data.classes != other.classes:
        # Numbers of labels mean the classes of the other data set from here on.
        train = replace(train, labels=None)
    scored = "no images are held out there to score"
    if other.test is not None:
        scored = f"score {len(other.test):,}"
    return Data(
        train=train,
        test=other.test,
        probe=other.fit,
        classes=data.classes if classified else other.classes,
        state=data.state,
        notes=(
            *data.notes,
            *(f"{name}: {note}" for note in other.notes),
            f"evaluators use {name}: they fit on {len(other.fit):,} images, and {scored}",
        ),
    )
