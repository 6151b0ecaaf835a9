"""The features of a data set, in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from sslcore.api.after import recipe_to_evaluate
from sslcore.api.loading import load_encoder
from sslcore.compute.device import pick_device
from sslcore.data import Split
from sslcore.errors import UsageError
from sslcore.evaluation.embedding import checked_output, write_features
from sslcore.pipeline.build import ImageShape, build_data
from sslcore.recipe.request import Request, Settings
from sslcore.registry.registry import Registry, default_registry
from sslcore.runs.folder import Run
from sslcore.system.terminal import stderr_console

if TYPE_CHECKING:
    from rich.console import Console


def embed(
    run: str | Path,
    *,
    output: str | Path,
    data: str | Path | None = None,
    settings: Settings = (),
    split: Literal["all", "train", "test"] = "all",
    teacher: bool = False,
    device: str = "auto",
    console: Console | None = None,
    registry: Registry | None = None,
) -> Path:
    """Write the features of all images of a data set to a file, batch by batch.

    Args:
        run: the run whose encoder makes the features.
        output: a `.npy` file, beside which an index is written as CSV, or a `.parquet` file.
        data: a data set's name, or the path of a folder; that of the run by default.
        settings: of the section `data`.
        split: the images to take.
        teacher: whether to take the encoder of the run's teacher.
        device: where to compute.
        console: where progress is printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Returns:
        The path of the file.

    Raises:
        UsageError: there is no such run or no such data, or the file can't be written.
    """
    console, registry = console or stderr_console(), registry or default_registry()
    path = checked_output(output)
    opened, where = Run.open(run), pick_device(device)
    extract = load_encoder(opened.path, teacher=teacher, device=device, registry=registry)
    splits, classes = splits_for(opened, data, settings, split, console, registry)
    with progress(console, sum(map(len, splits.values()))) as advance:
        write_features(path, extract, splits, classes, device=where, progress=advance)
    return path


def splits_for(
    opened: Run,
    data: str | Path | None,
    settings: Settings,
    split: Literal["all", "train", "test"],
    console: Console,
    registry: Registry,
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Return images for the encoder of a run, by split, and the names of their classes.

    Raises:
        UsageError: there is no such data, it has another shape than the run's, or no images.
    """
    if not isinstance(data, str | Path | None):
        raise UsageError(
            f"data: expected a name or a path, got an object of {type(data).__name__}; "
            "load_encoder makes features of images in memory"
        )
    asked = Request.of(data=None if data is None else str(data), settings=settings)
    found = build_data(recipe_to_evaluate(opened, asked, registry, section="data").data)
    for note in found.notes:
        console.print(f"note: {note}")
    shape, own = ImageShape.of(found.train), opened.shape()
    if (shape.image_size, shape.channels, shape.num_frames) != (
        own.image_size,
        own.channels,
        own.num_frames,
    ):
        raise UsageError(f"the run was trained on {own}, and the data has {shape}")
    splits = {"train": found.train} | ({} if found.test is None else {"test": found.test})
    if split != "all":
        splits = {name: images for name, images in splits.items() if name == split}
    if not any(map(len, splits.values())):
        raise UsageError(f"there are no images in the split {split}")
    return splits, found.classes


@contextmanager
def progress(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that is given the number of images done, and draws it as a bar."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)
