"""What a run is and what came of it, read from its folder; no part needs to be installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sslcore.errors import RunFolderError, UsageError
from sslcore.recipe.recipe import settings_by_name
from sslcore.runs.folder import EVALUATION, METRICS, RECIPE, Run
from sslcore.runs.metrics import Line, read_metrics
from sslcore.runs.scores import read_scores
from sslcore.runs.status import FAILED, FINISHED, TRAINING, Status, read_status

#: The setting by which runs are grouped: runs that differ in nothing else are repetitions.
SEED = "training.seed"

#: Settings that change how a run is computed and written, and not its result.
_WITHOUT_EFFECT = ("training.log_every", "training.checkpoint_every", "training.micro_batch")


@dataclass(frozen=True)
class RunSummary:
    """A run in short.

    Attributes:
        run: its folder.
        settings: every setting, as `{"loss.temperature": 0.5}`; the names of parts are
            `{"loss": "nt-xent"}`.
        status: whether it has finished.
        step: the last step that was logged.
        table: its evaluation; empty where there is none.
        details: by metric, how it was measured.
        effective_rank: of the representations in the last line that has it; None without one.
    """

    run: Run
    settings: Mapping[str, object]
    status: Status
    step: int
    table: Mapping[str, Mapping[str, float]]
    details: Mapping[str, Mapping[str, object]]
    effective_rank: float | None

    @classmethod
    def of(cls, path: str | Path) -> RunSummary:
        """Read the folder of a run.

        Raises:
            RunFolderError: it is not a run, or its files can't be read.
        """
        run = Run.open(path)
        config = run.config()
        lines = read_metrics(run.path / METRICS)
        table, details = read_scores(run.path / EVALUATION)
        ranks = [rank for line in lines if (rank := line.get("effective_rank")) is not None]
        return cls(
            run,
            settings_by_name(config),
            read_status(run.path, finished=run.finished),
            lines[-1]["step"] if lines else 0,
            table,
            details,
            ranks[-1] if ranks else None,
        )

    @property
    def name(self) -> str:
        """The folder, as it was given."""
        return str(self.run.path)

    @property
    def data(self) -> str:
        """The name of the data set, or of the folder that it opens."""
        path = self.settings.get("data.path")
        return str(self.settings.get("data")) if path is None else Path(str(path)).name

    @property
    def seed(self) -> object:
        """The seed of the run."""
        return self.settings.get(SEED)

    @property
    def state(self) -> str:
        """The state in words."""
        if self.status.state == TRAINING:
            return f"training, step {self.step}"
        if self.status.state == FINISHED:
            return FINISHED
        why = f": {self.status.reason}" if self.status.state == FAILED else ""
        return f"{self.status.state} at step {self.step}{why}"

    @property
    def deciding(self) -> dict[str, object]:
        """The settings that decide the result, but for the seed: repetitions share them all."""
        skipped = (SEED, *_WITHOUT_EFFECT)
        return {name: value for name, value in self.settings.items() if name not in skipped}

    def metrics(self) -> list[Line]:
        """Return the lines of metrics.jsonl."""
        return read_metrics(self.run.path / METRICS)


def runs_below(folder: Path) -> tuple[list[RunSummary], list[str]]:
    """Return the runs in a folder and its folders, oldest first, and why others can't be read.

    Raises:
        RunFolderError: the folder is not there.
    """
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is not there; runs are folders like runs/METHOD-DATA-TIME")
    recipes = sorted(
        {*folder.glob(RECIPE), *folder.glob(f"*/{RECIPE}"), *folder.glob(f"*/*/{RECIPE}")},
        key=lambda path: (path.stat().st_mtime, path),
    )
    return summaries(path.parent for path in recipes)


def summaries(paths: Iterable[str | Path]) -> tuple[list[RunSummary], list[str]]:
    """Return the runs in folders, and for each that can't be read the reason."""
    found: list[RunSummary] = []
    problems: list[str] = []
    for path in paths:
        try:
            found.append(RunSummary.of(path))
        except UsageError as error:
            problems.append(str(error))
    return found, problems
