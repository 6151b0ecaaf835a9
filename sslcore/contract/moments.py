"""The moments of training at which the engine calls a part: after a step, and before an epoch.

Every part of a training stage may have either of these methods; the engine supplies the parameters
that they name:

    def after_step(self, progress: float) -> None
    def epoch_started(self, epoch: int, features: Callable[[], Tensor]) -> None

What a method changes must be a parameter or a buffer of the part, so that a checkpoint holds it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from sslcore.errors import nearest

AFTER_STEP, EPOCH_STARTED = "after_step", "epoch_started"

#: By method, what it may ask for by name.
MOMENTS: Mapping[str, Mapping[str, str]] = {
    AFTER_STEP: {
        "progress": "the part of training that was done before the step, a float in [0, 1)",
        "step": "the step, counted from 0 over the whole run",
    },
    EPOCH_STARTED: {
        "epoch": "the epoch that begins, counted from 0",
        "features": "a function that returns the features of all training images, (N, F), "
        "in the order of the data set, by the encoder in eval mode; the same in every process",
        "random": "random numbers for this epoch, a sslcore.BatchRandom with a row for each of the "
        "N images",
    },
}


def moment_problems(target: object) -> list[str]:
    """Return what the methods of a part ask for that the engine doesn't supply, in sentences."""
    problems = []
    for moment, known in MOMENTS.items():
        method = getattr(target, moment, None)
        if method is None:
            continue
        for name, parameter in inspect.signature(method).parameters.items():
            if name not in known and name != "self" and parameter.default is parameter.empty:
                problems.append(
                    f"{moment} asks for {name}, which it doesn't get{nearest(name, known)}; it may "
                    f"ask for {', '.join(known)}"
                )
    return problems
