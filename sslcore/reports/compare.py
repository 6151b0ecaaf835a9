"""Runs side by side: what differs, how they score, and whether differences exceed the spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sslcore.evaluation.evaluate import ENCODER, PIXELS, RANDOM_INIT
from sslcore.evaluation.spread import rounded
from sslcore.evaluation.table import metrics_of, sign_of
from sslcore.reports.repetitions import Score, leads_of, scores_of
from sslcore.runs.summary import RunSummary

#: Sections whose settings a method brings along, and how many of them are told.
_BESIDE_THE_METHOD = ("optimizer", "training.", "teacher.", "head.", "augmentation.")
_TOLD = 4

#: Said where a group has one seed.
_ONE_SEED = "; with one seed, the spread over seeds is not known (train --seeds 3)"


@dataclass(frozen=True)
class Group:
    """Runs that differ by nothing but the seed.

    Attributes:
        label: what tells the group from the others, or the name of its run.
        runs: the runs.
        scores: by metric.
        leads: by baseline and metric, by how much the encoder is better than the baseline of the
            same seed.
    """

    label: str
    runs: tuple[RunSummary, ...]
    scores: Mapping[str, Score]
    leads: Mapping[str, Mapping[str, Score]]

    @property
    def seeds(self) -> str:
        """The seeds of its runs, each once."""
        return ", ".join(dict.fromkeys(str(run.seed) for run in self.runs))

    @property
    def seconds(self) -> float:
        """Mean time of training, s."""
        return statistics.fmean(run.status.seconds for run in self.runs)

    @property
    def effective_rank(self) -> str:
        """Mean effective rank of the representations at the end of training; "–" if not logged."""
        ranks = [run.effective_rank for run in self.runs if run.effective_rank is not None]
        return f"{statistics.fmean(ranks):.1f}" if ranks else "–"

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
            Group(
                label,
                tuple(group),
                scores_of(group, metrics),
                {column: leads_of(group, metrics, column) for column in (RANDOM_INIT, PIXELS)},
            )
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

    def sentences(self) -> list[str]:
        """Return what the comparison says, in sentences."""
        caution = self.caution()
        return [*self.verdicts(), *self.without_gain(), *([caution] if caution else [])]

    def without_gain(self) -> list[str]:
        """Return a sentence for each group that does not beat its untrained encoder."""
        found = []
        for group in self.groups:
            names = [
                metric
                for metric, lead in group.leads[RANDOM_INIT].items()
                if not lead.mean > (lead.within or 0.0)
            ]
            if names:
                found.append(
                    f"{group.label}: the trained encoder is not clearly better than the untrained "
                    f"one on {', '.join(names)}"
                )
        return found

    def caution(self) -> str:
        """Return a sentence on what else differs where methods are compared; empty otherwise."""
        if "method" not in self.differing:
            return ""
        told = [
            name
            for section in _BESIDE_THE_METHOD
            for name in self.differing
            if name.startswith(section)
        ]
        if not told:
            return ""
        more = len(self.differing) - 1 - len(told[:_TOLD])
        rest = f" and {more} more" if more else ""
        return (
            f"These are whole recipes: besides the method, {', '.join(told[:_TOLD])}{rest} differ. "
            "Losses of different methods are different quantities, so their curves can't be "
            "compared"
        )

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
    ahead_by = abs(first.mean - other.mean)
    if ahead_by == 0:
        return f"{winner.label} and {second.label} are equal"
    noise = first.noise(other)
    spread, source = noise if noise is not None else (None, "")
    # One digit more than the spread leaves, so that the reader can compare the two.
    finer = None if spread is None else spread / 10
    ahead = f"{winner.label} is ahead of {second.label} by {rounded(ahead_by, finer)}"
    more = "" if first.spread is not None and other.spread is not None else _ONE_SEED
    if spread is None:
        return ahead + more
    if ahead_by > spread:
        return f"{ahead}, more than the spread ({rounded(spread, finer)} {source}){more}"
    return (
        f"{ahead}, which is within the spread ({rounded(spread, finer)} {source}): no difference "
        f"is established{more}"
    )


def _labels(
    members: Sequence[Sequence[RunSummary]], differing: Mapping[str, tuple[object, ...]]
) -> list[str]:
    """Return a label for each group: the fewest settings that tell all groups apart."""
    if len(members) == 1:
        first = members[0][0]
        several = len(members[0]) > 1
        return [str(first.settings.get("method")) if several else first.run.path.name]
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
