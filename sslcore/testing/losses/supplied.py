"""The values that the engine would supply to a loss's constructor, from an example's inputs."""

from __future__ import annotations

from sslcore.testing.losses.example import Inputs

#: Known parameters, with the signals and the dimension that each can be read from.
_READ_OFF = (
    ("num_views", ("projections", "predictions", "features", "reconstructions", "logits"), 0),
    ("projection_dim", ("projections", "predictions"), -1),
    ("feature_dim", ("features",), -1),
    ("num_classes", ("logits",), -1),
)


def supplied(inputs: Inputs) -> dict[str, int]:
    """Return the supplied parameters that inputs determine, by name.

    Args:
        inputs: by signal, (V, B, …) each.
    """
    return {
        name: inputs[signal].shape[dim]
        for name, signals, dim in _READ_OFF
        for signal in signals[::-1]
        if signal in inputs and inputs[signal].dim() > 1
    }
