"""MLflow: `MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME` and the other variables configure it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sslcore_trackers.extras import library, scores

#: The file in the run's folder that holds the name of its run at MLflow.
_ID = ".mlflow-run"
#: MLflow refuses longer values of parameters.
_LONGEST = 500
_STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MLflow:
    """Logs numbers, scores and pictures of a run to MLflow.

    Raises:
        ValueError: mlflow is not installed.
    """

    def __init__(self) -> None:
        library("mlflow", "mlflow")
        self._client: Any = None
        self._run = ""
        self._step = 0

    def started(self, folder: Path, settings: Mapping[str, object], step: int) -> None:
        """Start a run, or go on with the one of an earlier start."""
        import mlflow

        self._step, self._client = step, mlflow.MlflowClient()
        with suppress(OSError):
            self._run = (folder / _ID).read_text(encoding="utf-8").strip()
        if self._run:
            self._client.update_run(self._run, status="RUNNING")
            return
        # MLflow's own context would print, and end with the process.
        experiment = mlflow.set_experiment(_experiment())
        made = self._client.create_run(experiment.experiment_id, run_name=folder.name)
        self._run = made.info.run_id
        (folder / _ID).write_text(self._run, encoding="utf-8")
        for name, value in settings.items():
            self._client.log_param(self._run, _accepted(name), str(value)[:_LONGEST])

    def logged(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log the numbers of a step."""
        self._step = step
        for name, value in numbers.items():
            self._client.log_metric(self._run, _accepted(name), value, step=step)

    def evaluated(self, table: Mapping[str, Mapping[str, float]]) -> None:
        """Log the scores at the end."""
        self.logged(self._step, scores(table))

    def drew(self, name: str, path: Path) -> None:
        """Keep a picture as an artifact."""
        self._client.log_artifact(self._run, str(path), "figures")

    def ended(self, state: str) -> None:
        """End the run."""
        self._client.set_terminated(self._run, _STATES.get(state, "FAILED"))


def _accepted(name: str) -> str:
    """Return a name without the characters that MLflow refuses, and without slashes.

    A slash would make a folder of a name, and another name may be a file there.
    """
    return re.sub(r"[^\w.\- :]", "_", name.replace("/", "."))


def _experiment() -> str:
    import os

    return os.environ.get("MLFLOW_EXPERIMENT_NAME", "sslcore")
