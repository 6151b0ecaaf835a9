"""What the engine gives a loss beside tensors: progress, step and random numbers."""

from __future__ import annotations

from sslcore.random import BatchRandom
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.family import Family


def engine_values(family: Family, example: Example) -> dict[str, object]:
    """Return the values of an example, by name; the random numbers start anew."""
    found: dict[str, object] = dict(example.engine)
    if "random" in found:
        images = max(1, family.batch_of(example.inputs))
        found["random"] = BatchRandom(int(example.engine["random"]), 0, images)
    if "rows" in found:
        # One process scores all of them.
        found["rows"] = None
    return found


def engine_code(example: Example, images: int) -> dict[str, str]:
    """Return the same values as Python code, by name."""
    found = {name: repr(value) for name, value in example.engine.items()}
    if "random" in found:
        found["random"] = f"sslcore.BatchRandom({int(example.engine['random'])}, 0, {images})"
    if "rows" in found:
        found["rows"] = "None"
    return found
