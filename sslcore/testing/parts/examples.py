"""Examples for data sets that open a path."""

from __future__ import annotations

import functools
import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sslcore.testing.parts.pictures import example_images

#: Images of each of two classes.
_FILES = 8


def class_folders(folder: Path) -> Path:
    """Write a few images into folders of two classes; return the folder."""
    from PIL import Image

    for number, pixels in enumerate(example_images(2 * _FILES, 3, 20)):
        place = folder / ("first" if number < _FILES else "second")
        place.mkdir(exist_ok=True)
        bytes_ = (pixels * 255).round().to(torch.uint8).movedim(0, -1).contiguous().numpy()
        Image.fromarray(bytes_).save(place / f"{number}.png")
    return folder


def on_an_example(target: Any, write: Callable[[Path], str | Path]) -> Callable[..., Any]:
    """Return a constructor of a data set that opens an example.

    The example is deleted with the constructor.

    Args:
        target: constructs the data set from a `path` and settings.
        write: writes the example into an empty folder, and returns the path to open.
    """
    folder = tempfile.TemporaryDirectory(prefix="sslcore-check-")
    path = str(write(Path(folder.name)))

    @functools.wraps(target)
    def make(*, _folder: object = folder, **settings: Any) -> Any:
        return target(path=path, **settings)

    signature = inspect.signature(target)
    kept = [item for name, item in signature.parameters.items() if name != "path"]
    make.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return make
