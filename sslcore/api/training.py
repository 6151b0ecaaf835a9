"""A run: train, evaluate and report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from sslcore.api.after import keep
from sslcore.api.objects import (
    AugmentationLike,
    DataLike,
    LossLike,
    ModuleLike,
    recorded_in,
    request_for,
    take_parts,
    with_own_weights,
)
from sslcore.api.run import Run
from sslcore.compute.device import pick_device
from sslcore.compute.processes import process_group
from sslcore.compute.rng_state import preserved_generators
from sslcore.compute.torchrun import local_rank, process_count, rank
from sslcore.errors import InterruptedRun, first_line
from sslcore.recipe.request import Settings, assigned, init_settings
from sslcore.registry.registry import Registry, default_registry
from sslcore.reports.report import FIGURES, wants_reports, write_report
from sslcore.runs.folder import Run as RunFolder
from sslcore.runs.status import FAILED, FINISHED, STOPPED
from sslcore.system.terminal import stderr_console
from sslcore.training.session import Session
from sslcore.training.start import carry_out
from sslcore.training.trackers import TRACKER, Trackers


def train(
    method: str | None = None,
    *,
    data: DataLike | None = None,
    eval_data: DataLike | None = None,
    augmentation: AugmentationLike | None = None,
    encoder: ModuleLike | None = None,
    head: ModuleLike | None = None,
    loss: LossLike | None = None,
    evaluators: Sequence[str] = (),
    config: str | Path | Mapping[str, object] | None = None,
    settings: Settings = (),
    init: str | Path | None = None,
    init_from: str | None = None,
    output: str | Path | None = None,
    resume: str | Path | None = None,
    extend: str | Path | None = None,
    device: str = "auto",
    compile: bool = False,
    workers: int | None = None,
    time_limit: float | None = None,
    track: Sequence[str] = (),
    evaluate: bool = True,
    report: bool | None = None,
    console: Console | None = None,
    registry: Registry | None = None,
) -> Run:
    """Train a method, evaluate it, and return the run's folder.

    Objects may stand in place of the names of parts. The run begins with the weights that a module
    has, and works on a copy of it; what is given as a class or function is made under the seed of
    the run. Whoever opens the run gives the objects again.

    Under torchrun, every process calls this function; the main process writes the files, prints
    the progress and evaluates.

    Args:
        method: the method to train. It may be left out if augmentation, encoder and loss are
            given, and one part is an object.
        data: a data set's name, or the path of a folder; the embedded digits by default. Or a
            map-style data set of (image, label) or of images, a `Split`, a pair (train, test) of
            these, or a `Data`: images are PIL images, uint8, or floats in [0, 1].
        eval_data: the images that evaluators use in place of those of `data`, in the same forms:
            they fit on its training part, and score its test part. Then `data` holds out nothing
            by itself.
        augmentation: augmentation to use in place of the method's default: a name, or a function
            from an image (C, H, W), float in [0, 1], to a view, such as a transform of torchvision.
        encoder: encoder to use in place of the method's default: a name, an `nn.Module`, or a class
            or function that makes one. It returns features (N, F), or maps (N, F, h', w').
        head: head to use in place of the method's default, as for `encoder`: features (N, F) to
            projections (N, D). "none" for no head.
        loss: loss to use in place of the method's default: a name, or a function or an `nn.Module`
            whose parameters are signals, such as `projections` (V, B, D), or the projections of
            two views, (B, D) each. It returns a scalar.
        evaluators: evaluators to use in place of the method's default.
        config: a TOML file of settings by section, or the sections; a run's `recipe.toml` is one.
        settings: by section, `{"training": {"epochs": 10}, "loss": {"temperature": 0.2}}`; the
            section `tracker` is for the trackers.
        init: weights that the encoder begins with: a run, a safetensors file, or a torch file of
            weights, whatever their names begin with.
        init_from: "teacher" takes the teacher of the run; of a file with several encoders, a part
            of the names.
        output: the run's folder; `runs/<method>-<data>-<time>` by default.
        resume: the folder of a run to resume; it keeps its own recipe.
        extend: the folder of a run that has finished; a new run goes on from it with its recipe,
            the weights of all its parts, a new optimizer and a new schedule.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        compile: whether to compile encoder and head with torch.compile.
        workers: processes that read images ahead. None reads ahead with threads where the images
            don't fit on the device; 0 never reads ahead.
        time_limit: minutes after which training stops and saves, as after Ctrl-C; None for no
            limit.
        track: names of trackers that are told what happens, such as "tensorboard".
        evaluate: whether to evaluate at the end.
        report: whether to write `report.html` at the end; None writes it, unless the environment
            variable `SSLCORE_REPORT` is 0.
        console: where progress is printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Raises:
        UsageError: the request can't be carried out as asked.
        TrainingError: training had to stop.
        InterruptedRun: Ctrl-C, SIGTERM or SIGHUP; the run can be resumed.
    """
    about = resume if resume is not None else extend
    taken = take_parts(
        registry or default_registry(),
        method=method is None,
        data=data,
        eval_data=eval_data,
        augmentation=augmentation,
        encoder=encoder,
        head=head,
        loss=loss,
        recorded=recorded_in(about, config),
    )
    registry = taken.registry
    request = request_for(
        taken,
        method,
        evaluators=evaluators,
        config=config,
        settings=(*assigned(settings), *init_settings(init, init_from)),
    )
    if about is None:
        request = with_own_weights(request, taken)
    where = pick_device(device, local_rank=local_rank() if process_count() > 1 else None)
    console = Console(quiet=True) if rank() > 0 else console or stderr_console()
    told = request.settings_of(TRACKER)
    request = request.without(TRACKER)
    trackers = Trackers.of(track, told, registry, where) if rank() == 0 else Trackers()
    with preserved_generators(where), ExitStack() as held, _told_the_end(trackers):
        with process_group(where) as processes:
            session, run, step = carry_out(
                request,
                output=output,
                resume=resume,
                device=where,
                compile=compile,
                workers=workers,
                console=console,
                registry=registry,
                processes=processes,
                held=held,
                time_limit=None if time_limit is None else 60 * time_limit,
                trackers=trackers,
                extend=extend,
            )
        if evaluate and processes.is_main:
            table, details = session.evaluate(step=step)
            keep(table, details, run, console)
            trackers.evaluated(table)
        if processes.is_main and (wants_reports() if report is None else report):
            _report(session, run, registry)
            trackers.drew(sorted((run.path / FIGURES).glob("*.png")))
    return Run(run.path)


@contextmanager
def _told_the_end(trackers: Trackers) -> Iterator[None]:
    """Tell trackers how a run ended."""
    try:
        yield
    except (InterruptedRun, KeyboardInterrupt):
        trackers.ended(STOPPED)
        raise
    except BaseException:
        trackers.ended(FAILED)
        raise
    trackers.ended(FINISHED)


def _report(session: Session, run: RunFolder, registry: Registry) -> None:
    """Write the report of a run that has just been trained; a failure is a warning."""
    try:
        with session.console.status("drawing the report"):
            path = write_report(session, run, registry)
    except Exception as error:  # noqa: BLE001 - a report must not cost the run that it shows
        said = (
            f"the report could not be written: {first_line(error)}; try: sslcore report {run.path}"
        )
        session.console.print(f"warning: {said}", style="bold yellow")
    else:
        session.console.print(f"report: {path}")
