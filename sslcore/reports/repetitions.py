"""Scores of runs that differ only by their seed: mean, spread, and the lead over a baseline."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sslcore.evaluation.evaluate import ENCODER
from sslcore.evaluation.spread import rounded, spread
from sslcore.evaluation.table import gap, test_images
from sslcore.runs.summary import RunSummary


@dataclass(frozen=True)
class Score:
    """A metric of a group of runs.

    Attributes:
        mean: over the seeds.
        spread: standard deviation over the seeds; None of a single seed.
        count: number of seeds that have it.
        error: standard error of a single run, from the number of test images; None if not known.
    """

    mean: float
    spread: float | None
    count: int
    error: float | None = None

    @property
    def within(self) -> float | None:
        """Its spread over the seeds, or of a single run; None where neither is known.

        Seeds with equal scores, as few test images give them, tell nothing of the spread.
        """
        return self.spread or self.error

    def __str__(self) -> str:
        within = self.within
        if self.spread is None or not within:
            return rounded(self.mean, self.error)
        return f"{rounded(self.mean, within)} ±{rounded(within, within)}"

    def noise(self, other: Score) -> tuple[float, str] | None:
        """Return the spread of the difference from another score, and what it comes from.

        With several seeds each, it comes from the seeds; otherwise, from the test
        images. None where nothing is known of it.
        """
        if self.spread is not None and other.spread is not None:
            both = f"over {self.count} seeds each"
            if self.count != other.count:
                both = f"over {self.count} and {other.count} seeds"
            return math.hypot(self.spread, other.spread), both
        if self.error is not None and other.error is not None:
            return math.hypot(self.error, other.error), "of a single run"
        return None


def scores_of(group: Sequence[RunSummary], metrics: Sequence[str]) -> dict[str, Score]:
    """Return the scores of the trained encoders, by metric."""

    def score(run: RunSummary, metric: str) -> tuple[float, float | None] | None:
        own = run.table.get(ENCODER, {})
        if metric not in own:
            return None
        return own[metric], spread(own, metric, test_images(run.details, metric))

    return _over_seeds(group, metrics, score)


def leads_of(group: Sequence[RunSummary], metrics: Sequence[str], column: str) -> dict[str, Score]:
    """Return by metric how much better the encoders are than a baseline of the same seed."""
    return _over_seeds(
        group,
        metrics,
        lambda run, metric: gap(run.table, metric, column, test_images(run.details, metric)),
    )


def _over_seeds(
    group: Sequence[RunSummary],
    metrics: Sequence[str],
    measured: Callable[[RunSummary, str], tuple[float, float | None] | None],
) -> dict[str, Score]:
    """Return by metric what is measured of each run, as mean over seeds.

    Args:
        group: the runs.
        metrics: the names of the metrics.
        measured: returns a number and its standard error, or None.
    """
    found: dict[str, Score] = {}
    for metric in metrics:
        by_seed: dict[object, list[float]] = {}
        errors: list[float | None] = []
        for run in group:
            if (numbers := measured(run, metric)) is not None:
                by_seed.setdefault(run.seed, []).append(numbers[0])
                errors.append(numbers[1])
        # The same seed gives the same run, which tells nothing of the spread.
        values = [statistics.fmean(each) for each in by_seed.values()]
        if values:
            deviation = statistics.stdev(values) if len(values) > 1 else None
            known = [each for each in errors if each is not None]
            error = max(known) if known and len(known) == len(errors) else None
            found[metric] = Score(statistics.fmean(values), deviation, len(values), error)
    return found
