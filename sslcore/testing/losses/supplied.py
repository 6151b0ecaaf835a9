"""The values that the engine would supply to a loss's constructor, from an example's inputs."""

from __future__ import annotations

from sslcore.testing.losses.example import Inputs

#: Known parameters, with the signals and the dimension that each can be read from.
_READ_OFF = (
    ("num_views", ("projections", "predictions", "features", "reconstructions", "logits"), 0),
    ("projection_dim", ("projections", "predictions"), -1),
    ("feature_dim", ("features",), -1),
    ("num_classes", ("logits",), -1),
    ("image_size", ("views", "targets", "reconstructions"), -1),
    ("channels", ("views", "targets", "reconstructions"), -3),
)

#: What no signal determines: numbers of a small run, and classes where there are no logits.
OF_A_RUN = {"num_images": 32, "epochs": 4, "steps_per_epoch": 5, "num_classes": 3}


def supplied(inputs: Inputs) -> dict[str, int | tuple[int, ...]]:
    """Return the supplied parameters that inputs determine, by name.

    Args:
        inputs: by signal, (V, B, …) each.
    """
    found: dict[str, int | tuple[int, ...]] = {
        name: inputs[signal].shape[dim]
        for name, signals, dim in _READ_OFF
        for signal in signals[::-1]
        if signal in inputs and inputs[signal].dim() > 1
    }
    if "feature_maps" in inputs:
        found["feature_map_shape"] = tuple(inputs["feature_maps"].shape[2:])
    return found
