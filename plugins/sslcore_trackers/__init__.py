"""Trackers: they send what happens in a run to TensorBoard, Weights & Biases or MLflow."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore


@sslcore.hookimpl
def sslcore_trackers() -> Iterator[sslcore.Tracker]:
    """Yield the trackers of this plugin."""
    yield sslcore.Tracker(
        name="tensorboard",
        summary="TensorBoard: event files in the folder of the run",
        build="sslcore_trackers.tensorboard:TensorBoard",
    )
    yield sslcore.Tracker(
        name="wandb",
        summary="Weights & Biases; the variables WANDB_* configure it",
        build="sslcore_trackers.wandb:WeightsAndBiases",
        offline={"WANDB_MODE": "offline"},
    )
    yield sslcore.Tracker(
        name="mlflow",
        summary="MLflow; the variables MLFLOW_* configure it",
        build="sslcore_trackers.mlflow:MLflow",
        # Relative, so that it is in the folder in which the checks run.
        offline={"MLFLOW_TRACKING_URI": "mlruns", "MLFLOW_ALLOW_FILE_STORE": "true"},
    )
