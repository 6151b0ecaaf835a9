"""What the engine would supply to the constructor of a loss, read off an example's inputs."""

from __future__ import annotations

from sslcore.testing.losses.example import Inputs

#: The parameters that are known, the signals that each can be read off, and along which dimension.
_READ_OFF = (
    ("num_views", ("projections", "predictions", "features", "reconstructions"), 0),
    ("projection_dim", ("projections", "predictions"), -1),
    ("feature_dim", ("features",), -1),
)


def supplied(inputs: Inputs) -> dict[str, int]:
    """Return the supplied parameters that inputs tell, by name.

    Args:
        inputs: by signal, (V, B, …) each.
    """
    return {
        name: inputs[signal].shape[dim]
        for name, signals, dim in _READ_OFF
        for signal in signals[::-1]
        if signal in inputs and inputs[signal].dim() > 1
    }
