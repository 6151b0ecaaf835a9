"""Fine-tuning: a classifier on a run's encoder, beside what it is worth without it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sslcore.api.after import report as write_report
from sslcore.api.repeat import check_same, is_done, train_or_go_on
from sslcore.api.run import Run
from sslcore.compute.torchrun import process_count
from sslcore.errors import InterruptedRun, UsageError
from sslcore.recipe.request import Request, Settings
from sslcore.registry.registry import Registry, default_registry
from sslcore.reports.fine_tuning import COMPARED, FineTuningScores
from sslcore.reports.report import wants_reports
from sslcore.runs.folder import Run as RunFolder
from sslcore.runs.summary import RunSummary
from sslcore.system.files import user_path
from sslcore.system.terminal import stderr_console
from sslcore.training.fine_tuning import FineTuning, plan_fine_tuning
from sslcore.training.start import plan

if TYPE_CHECKING:
    from rich.console import Console

#: The folder of the other trainings, in the folder of the run.
OTHERS = "compared"


@dataclass(frozen=True)
class FineTuned:
    """What a fine-tuning has made.

    Attributes:
        run: the fine-tuned run of the first seed.
        scores: of all trainings, over the seeds.
    """

    run: Run
    scores: FineTuningScores


def finetune(
    run: str | Path,
    *,
    data: str | None = None,
    method: str | None = None,
    labels_per_class: int | None = None,
    fraction: float | None = None,
    freeze: bool = False,
    teacher: bool = False,
    seeds: int = 3,
    compare: bool = True,
    settings: Settings = (),
    output: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    track: Sequence[str] = (),
    report: bool | None = None,
    console: Console | None = None,
    registry: Registry | None = None,
) -> FineTuned:
    """Train a classifier on a run's encoder, and the encoder with it.

    The same training is done from scratch, with the encoder frozen (a linear probe), and, where
    the run began with trained weights, with these; each with the same seeds and the same labelled
    images. A training that has finished is kept, so that the same call with the same `output` goes
    on where it was stopped.

    Args:
        run: the run whose encoder is fine-tuned.
        data: a data set's name, or the path of a folder, with labels; that of the run by default:
            the images that its evaluators use.
        method: a method whose head gives `logits`; the one for fine-tuning by default.
        labels_per_class: labelled images of each class to train on, drawn by the seed; all by
            default.
        fraction: the fraction of the labelled images of each class to train on, in (0, 1].
        freeze: whether to train the head alone, and to compare the fine-tuned encoder with that.
        teacher: whether to begin with the encoder of the run's teacher.
        seeds: repetitions of each training, with seeds that follow each other.
        compare: whether to train the others, too.
        settings: by section, as for `train`.
        output: the folder of the run; the other trainings are in its folder `compared`.
            `runs/<method>-<run>-<time>` by default.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        workers: processes that read images ahead, as for `train`.
        track: names of trackers that follow the first run.
        report: whether to write the report of the run; None writes it, unless the environment
            variable `SSLCORE_REPORT` is 0.
        console: where progress is printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Returns:
        The fine-tuned run, and the scores of all trainings.

    Raises:
        UsageError: the request can't be carried out as asked.
        TrainingError: training had to stop.
        InterruptedRun: Ctrl-C, SIGTERM or SIGHUP; the same call goes on.
    """
    if process_count() > 1:
        raise UsageError("fine-tuning trains in one process; start it without torchrun")
    if seeds < 1:
        raise UsageError(f"--seeds: expected 1 or more, got {seeds}")
    console, registry = console or stderr_console(), registry or default_registry()
    parent = RunFolder.open(run)
    asked = Request.of(method=method, data=data, settings=settings)
    labels = {"labels_per_class": labels_per_class, "label_fraction": fraction}
    more = [("training", name, value) for name, value in labels.items() if value is not None]
    asked = replace(asked, settings=(*asked.settings, *more))
    planned = plan_fine_tuning(parent, asked, registry, freeze=freeze, teacher=teacher)
    for note in planned.notes:
        console.print(f"note: {note}")
    chosen = planned.variants if compare else planned.variants[:1]
    planned = replace(planned, variants=chosen)
    base = user_path(output, "--output") if output is not None else _default(planned, parent)
    first = int(str(asked.settings_of("training").get("seed", 0)))
    folders = _folders(planned, base, range(first, first + seeds))
    for (name, seed), folder in folders.items():
        # Every training is checked before the first one begins.
        check_same(folder, plan(_request(planned, name, seed), registry), registry)
    options = {"device": device, "workers": workers, "console": console, "registry": registry}
    for number, ((name, seed), folder) in enumerate(folders.items(), 1):
        console.print(f"training {number} of {len(folders)}: {name}, seed {seed}")
        if is_done(folder):
            console.print(f"note: {folder} has finished already")
            continue
        request = _request(planned, name, seed)
        names = {"method": request.method, "data": request.data, "encoder": request.encoder}
        own = {"config": dict(request.config)} if request.config else {}
        told = {"track": track, "report": False} if folder == base else {"report": False}
        try:
            train_or_go_on(folder, request.settings, {**options, **names, **own, **told})
        except InterruptedRun as error:
            raise InterruptedRun(
                f"{str(error).partition(';')[0]}; repeat the command with --output {base} to go on"
            ) from error
    trainings: dict[str, list[RunSummary]] = {}
    for (name, _), folder in folders.items():
        trainings.setdefault(name, []).append(RunSummary.of(folder))
    scores = FineTuningScores.of(trainings)
    scores.write(base / COMPARED)
    if wants_reports() if report is None else report:
        write_report(base, device=device, console=console, registry=registry)
    return FineTuned(Run(base), scores)


def _default(planned: FineTuning, parent: RunFolder) -> Path:
    name = str(planned.request.method).rpartition(":")[2]
    return Path("runs") / f"{name}-{parent.path.name[:40]}-{time.strftime('%Y%m%d-%H%M%S')}"


def _folders(planned: FineTuning, base: Path, seeds: range) -> dict[tuple[str, int], Path]:
    """Return the folder of each training, by its name and seed; the result comes first."""
    first = (planned.variants[0].name, seeds[0])
    found = {first: base}
    for seed in seeds:
        for variant in planned.variants:
            key = (variant.name, seed)
            if key != first:
                found[key] = base / OTHERS / f"{variant.name.replace(' ', '-')}-seed-{seed}"
    return found


def _request(planned: FineTuning, name: str, seed: int) -> Request:
    variant = next(each for each in planned.variants if each.name == name)
    request = planned.request
    own = (*request.settings, *variant.settings, ("training", "seed", seed))
    return replace(request, settings=own)
