"""A folder of images for data sets that read one."""

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


def on_a_folder(target: Any) -> Callable[..., Any]:
    """Return a constructor of a data set that reads a folder of a few images.

    The folder is deleted with the constructor.

    Args:
        target: constructs the data set from a `path` and settings.
    """
    from PIL import Image

    folder = tempfile.TemporaryDirectory(prefix="sslcore-check-")
    for number, pixels in enumerate(example_images(2 * _FILES, 3, 20)):
        place = Path(folder.name, "first" if number < _FILES else "second")
        place.mkdir(exist_ok=True)
        bytes_ = (pixels * 255).round().to(torch.uint8).movedim(0, -1).contiguous().numpy()
        Image.fromarray(bytes_).save(place / f"{number}.png")

    @functools.wraps(target)
    def make(**settings: Any) -> Any:
        return target(path=folder.name, **settings)

    signature = inspect.signature(target)
    kept = [item for name, item in signature.parameters.items() if name != "path"]
    make.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return make
