"""Runs side by side: what differs, how they score, and whether differences exceed the spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sslcore.evaluation.evaluate import ENCODER
from sslcore.evaluation.spread import rounded, spread
from sslcore.evaluation.table import metrics_of, sign_of, test_images
from sslcore.runs.summary import RunSummary

#: Said where a group has one seed.
_ONE_SEED = "; with one seed, the spread over seeds is not known (train --seeds 3)"


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

    def __str__(self) -> str:
        if self.spread is None:
            return rounded(self.mean, self.error)
        return f"{rounded(self.mean, self.spread)} ±{rounded(self.spread, self.spread)}"

    def noise(self, other: Score) -> tuple[float, str] | None:
        """Return the spread of the difference from another score, and what it comes from.

        With several seeds each, it comes from the seeds; otherwise, from the test
        images. None where nothing is known of it.
        """
        if self.spread is not None and other.spread is not None:
            both = f"{self.count} and {other.count} seeds"
            return math.hypot(self.spread, other.spread), both
        if self.error is not None and other.error is not None:
            return math.hypot(self.error, other.error), "of a single run"
        return None


@dataclass(frozen=True)
class Group:
    """Runs that differ by nothing but the seed.

    Attributes:
        label: what tells the group from the others, or the name of its run.
        runs: the runs.
        scores: by metric.
    """

    label: str
    runs: tuple[RunSummary, ...]
    scores: Mapping[str, Score]

    @property
    def seeds(self) -> str:
        """The seeds of its runs, each once."""
        return ", ".join(dict.fromkeys(str(run.seed) for run in self.runs))

    @property
    def seconds(self) -> float:
        """Mean time of training, s."""
        return statistics.fmean(run.status.seconds for run in self.runs)

    @property
    def state(self) -> str:
        """The state that its runs share, or how many of them have finished."""
        states = {run.state for run in self.runs}
        if len(states) == 1:
            return states.pop()
        done = sum(run.state == "finished" for run in self.runs)
        return f"{done} of {len(self.runs)} finished"


@dataclass(frozen=True)
class Comparison:
    """Runs, compared.

    Attributes:
        groups: repetitions together, in the order in which they were given.
        differing: the settings in which groups differ, with the value of each group.
        metrics: the names of the metrics.
    """

    groups: tuple[Group, ...]
    differing: Mapping[str, tuple[object, ...]]
    metrics: tuple[str, ...]

    @classmethod
    def of(cls, runs: Sequence[RunSummary]) -> Comparison:
        """Compare runs."""
        together: dict[str, list[RunSummary]] = {}
        for run in runs:
            together.setdefault(repr(sorted(run.deciding.items())), []).append(run)
        members = list(together.values())
        settings = [group[0].deciding for group in members]
        names = dict.fromkeys(name for each in settings for name in each)
        values = {name: tuple(each.get(name) for each in settings) for name in names}
        differing = {name: each for name, each in values.items() if len(set(map(repr, each))) > 1}
        metrics = tuple(metrics_of({run.name: run.table.get(ENCODER, {}) for run in runs}))
        groups = tuple(
            Group(label, tuple(group), _scores(group, metrics))
            for label, group in zip(_labels(members, differing), members, strict=True)
        )
        return cls(groups, differing, metrics)

    def best(self, metric: str) -> int | None:
        """Return the number of the group with the best score.

        None where fewer than two groups have a score, or two have the best one.
        """
        ranked = self._ranked(metric)
        if len(ranked) < 2:
            return None
        first, second = (self.groups[number].scores[metric].mean for number in ranked[:2])
        return None if first == second else ranked[0]

    def exceeds(self, metric: str) -> bool:
        """Whether the best score is better than the second by more than the spread."""
        ranked = self._ranked(metric)
        if len(ranked) < 2:
            return False
        first, second = (self.groups[number].scores[metric] for number in ranked[:2])
        noise = first.noise(second)
        return noise is not None and abs(first.mean - second.mean) > noise[0]

    def verdicts(self) -> list[str]:
        """Return for each metric a sentence on which group is best, and by how much."""
        found = []
        for metric in self.metrics:
            ranked = self._ranked(metric)
            if len(ranked) > 1:
                winner, second = (self.groups[number] for number in ranked[:2])
                found.append(f"{metric}: {_between(winner, second, metric)}")
        return found

    def _ranked(self, metric: str) -> list[int]:
        """Return the numbers of the groups that have a score, the best first."""
        means = {
            number: sign_of(metric) * group.scores[metric].mean
            for number, group in enumerate(self.groups)
            if metric in group.scores
        }
        scored = [number for number, mean in means.items() if not math.isnan(mean)]
        return sorted(scored, key=lambda number: -means[number])


def _between(winner: Group, second: Group, metric: str) -> str:
    first, other = winner.scores[metric], second.scores[metric]
    gap = abs(first.mean - other.mean)
    if gap == 0:
        return f"{winner.label} and {second.label} are equal"
    noise = first.noise(other)
    spread, source = noise if noise is not None else (None, "")
    ahead = f"{winner.label} is ahead of {second.label} by {rounded(gap, spread)}"
    more = "" if first.spread is not None and other.spread is not None else _ONE_SEED
    if spread is None:
        return ahead + more
    if gap > spread:
        return f"{ahead}, more than the spread ({rounded(spread, spread)}, {source}){more}"
    return (
        f"{ahead}, which is within the spread ({rounded(spread, spread)}, {source}): no difference "
        f"is shown{more}"
    )


def _labels(
    members: Sequence[Sequence[RunSummary]], differing: Mapping[str, tuple[object, ...]]
) -> list[str]:
    """Return a label for each group: the fewest settings that tell all groups apart."""
    if len(members) == 1:
        return [members[0][0].run.path.name]
    telling: list[str] = []
    labels = [""] * len(members)
    # The parts tell more than their settings, of which another part has others.
    for name in sorted(differing, key=lambda name: "." in name):
        more = [
            ", ".join(
                said for each in [*telling, name] if (said := _said(each, differing[each][number]))
            )
            for number in range(len(members))
        ]
        if len(set(more)) > len(set(labels)):
            telling, labels = [*telling, name], more
    if len(set(labels)) == len(members):
        return labels
    return [group[0].name for group in members]


def _said(name: str, value: object) -> str:
    if "." not in name:
        return str(value)
    return "" if value is None else f"{name.partition('.')[2]} {value}"


def _scores(group: Sequence[RunSummary], metrics: Sequence[str]) -> dict[str, Score]:
    found: dict[str, Score] = {}
    for metric in metrics:
        by_seed: dict[object, list[float]] = {}
        for run in group:
            if metric in run.table.get(ENCODER, {}):
                by_seed.setdefault(run.seed, []).append(run.table[ENCODER][metric])
        # The same seed gives the same run, which tells nothing of the spread.
        values = [statistics.fmean(each) for each in by_seed.values()]
        if values:
            deviation = statistics.stdev(values) if len(values) > 1 else None
            found[metric] = Score(
                statistics.fmean(values), deviation, len(values), _error(group, metric)
            )
    return found


def _error(group: Sequence[RunSummary], metric: str) -> float | None:
    """Return the standard error of a run, the largest of the group; None if one is not known."""
    errors = [
        spread(run.table[ENCODER], metric, test_images(run.details, metric))
        for run in group
        if metric in run.table.get(ENCODER, {})
    ]
    known = [each for each in errors if each is not None]
    return max(known) if len(known) == len(errors) and known else None
