"""The scores of a fine-tuning beside those of the trainings that it is compared with."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sslcore.errors import RunFolderError
from sslcore.evaluation.evaluate import ENCODER
from sslcore.evaluation.spread import signed
from sslcore.evaluation.table import metrics_of, sign_of
from sslcore.reports.repetitions import Score, scores_of
from sslcore.runs.summary import RunSummary
from sslcore.system.files import to_json, write_safely

#: The file of the scores, in the folder of the fine-tuned run.
COMPARED = "fine-tuning.json"

#: Scores by training and metric.
Scores = dict[str, dict[str, Score]]


@dataclass(frozen=True)
class FineTuningScores:
    """The trainings of a fine-tuning, over the same seeds; the first one is the result.

    Attributes:
        scores: by training and metric.
        leads: by how much the first training is better than another one of the same seed, by
            training and metric.
    """

    scores: Scores
    leads: Scores

    @classmethod
    def of(cls, trainings: Mapping[str, Sequence[RunSummary]]) -> FineTuningScores:
        """Read the scores of runs, by training."""
        first = next(iter(trainings))
        tables = {run.name: run.table.get(ENCODER, {}) for run in trainings[first]}
        metrics = metrics_of(tables)
        scores = {name: scores_of(runs, metrics) for name, runs in trainings.items()}
        leads = {
            name: {
                metric: lead
                for metric in metrics
                if (lead := _lead(trainings[first], runs, metric, scores[first], scores[name]))
            }
            for name, runs in trainings.items()
            if name != first
        }
        return cls(scores, leads)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics."""
        return tuple(next(iter(self.scores.values())))

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Return the scores as text: the heads, and a row for each training."""
        first = next(iter(self.scores))
        heads = ["training"]
        for metric in self.metrics:
            heads += [metric, f"{first} better by"]
        rows = []
        for name, scores in self.scores.items():
            row = [name]
            for metric in self.metrics:
                lead = self.leads.get(name, {}).get(metric)
                row.append(str(scores[metric]) if metric in scores else "–")
                row.append("" if lead is None else signed(lead.mean, lead.within))
            rows.append(row)
        return heads, rows

    def warnings(self) -> list[str]:
        """Return where the result is not clearly better than another training, in sentences."""
        first = next(iter(self.scores))
        found = []
        for name, leads in self.leads.items():
            worse = [metric for metric, lead in leads.items() if lead.mean < -(lead.within or 0.0)]
            unclear = [
                metric for metric in leads if metric not in worse and not self._clear(name, metric)
            ]
            if worse:
                found.append(f"{first} is worse than {name}: {', '.join(worse)}")
            if unclear:
                found.append(f"{first} is not clearly better than {name}: {', '.join(unclear)}")
        return found

    def conclusions(self) -> list[str]:
        """Return what the scores say of the result, in sentences."""
        first = next(iter(self.scores))
        better = [
            name
            for name, leads in self.leads.items()
            if leads and all(self._clear(name, metric) for metric in leads)
        ]
        said = f"{first} is better than {', '.join(better)}, by more than the spread"
        return ([said] if better else []) + self.warnings()

    def _clear(self, name: str, metric: str) -> bool:
        lead = self.leads[name][metric]
        return lead.mean > (lead.within or 0.0)

    def write(self, path: Path) -> None:
        """Write the scores as JSON.

        Raises:
            RunFolderError: the file can't be written.
        """
        tables = {
            part: {
                name: {metric: asdict(score) for metric, score in scores.items()}
                for name, scores in table.items()
            }
            for part, table in (("scores", self.scores), ("leads", self.leads))
        }
        write_safely(path, to_json(tables))

    @classmethod
    def read(cls, path: Path) -> FineTuningScores | None:
        """Return the scores in a file; None where there is no file.

        Raises:
            RunFolderError: the file does not hold such scores.
        """
        try:
            tables = json.loads(path.read_text(encoding="utf-8"))
            scores, leads = (
                {
                    name: {metric: Score(**score) for metric, score in each.items()}
                    for name, each in tables[part].items()
                }
                for part in ("scores", "leads")
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunFolderError(
                f"{path} does not hold the scores of a fine-tuning; repeat its command"
            ) from error
        return cls(scores, leads)


def _lead(
    first: Sequence[RunSummary],
    other: Sequence[RunSummary],
    metric: str,
    ours: Mapping[str, Score],
    theirs: Mapping[str, Score],
) -> Score | None:
    """Return by how much runs are better than others of the same seeds."""
    values: dict[object, float] = {}
    against = {run.seed: run.table.get(ENCODER, {}) for run in other}
    for run in first:
        own, beside = run.table.get(ENCODER, {}), against.get(run.seed, {})
        if metric in own and metric in beside:
            values[run.seed] = sign_of(metric) * (own[metric] - beside[metric])
    if not values:
        return None
    deviation = statistics.stdev(values.values()) if len(values) > 1 else None
    noise = ours[metric].noise(theirs[metric])
    error = None if noise is None else noise[0]
    return Score(statistics.fmean(values.values()), deviation, len(values), error)
