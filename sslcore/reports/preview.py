"""`sslcore preview`: a picture of what the encoder will see, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sslcore.errors import UsageError
from sslcore.reports.figures import style, to_png
from sslcore.reports.views import draw_views, first_views
from sslcore.system.files import user_path, write_safely

if TYPE_CHECKING:
    from sslcore.training.session import Session


def checked_output(output: str | Path) -> Path:
    """Return the path of a picture to write.

    Raises:
        UsageError: it does not end in .png, or its folder does not exist.
    """
    path = user_path(output, "--output")
    if path.suffix.lower() != ".png":
        raise UsageError(f"--output {output}: a preview is a PNG; choose a name like preview.png")
    if path.is_dir() or not path.parent.is_dir():
        missing = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise UsageError(f"--output {output}: {missing}")
    return path


def write_preview(session: Session, path: Path) -> None:
    """Draw the first images of the first batch with their views, and write the picture."""
    recipe = session.recipe
    sample = first_views(session)
    heading = (
        f"{recipe.augmentation.name} for {recipe.method} on {recipe.data.name}\n"
        f"The first {len(sample.images)} images of the first batch (of "
        f"{recipe.training.batch_size}, seed {recipe.training.seed}): views as the encoder sees "
        "them, with the normalisation undone."
    )
    with style():
        write_safely(path, to_png(draw_views(sample, heading)))
