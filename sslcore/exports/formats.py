"""The formats, and how a file of each is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sslcore.errors import UsageError, nearest
from sslcore.exports.exported import Exported
from sslcore.exports.graphs import write_onnx, write_torchscript
from sslcore.exports.huggingface import write_huggingface
from sslcore.exports.libraries import write_for
from sslcore.exports.tensors import write_safetensors, write_torch


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        name: what a user types.
        endings: of its files, the usual one first; empty for a folder.
        write: writes it to a path that does not exist yet, and returns how to load it.
        graph: whether it holds the computation too, with or without the preprocessing.
    """

    name: str
    endings: tuple[str, ...]
    write: Callable[[Exported, Path, bool], str]
    graph: bool = False


_ALL = (
    Format("torch", (".pt", ".pth"), write_torch),
    Format("safetensors", (".safetensors",), write_safetensors),
    Format("onnx", (".onnx",), write_onnx, graph=True),
    Format("torchscript", (".pt",), write_torchscript, graph=True),
    Format(
        "torchvision",
        (".pth", ".safetensors"),
        lambda exported, path, _: write_for("torchvision", exported, path),
    ),
    Format(
        "timm",
        (".safetensors", ".pth"),
        lambda exported, path, _: write_for("timm", exported, path),
    ),
    Format(
        "huggingface",
        (),
        write_huggingface,
    ),
)

#: The formats by name.
FORMATS: Mapping[str, Format] = {each.name: each for each in _ALL}


def format_called(name: str) -> Format:
    """Return a format.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in FORMATS:
        raise UsageError(
            f"there is no format {name!r}{nearest(name, FORMATS)}; there are {', '.join(FORMATS)}"
        )
    return FORMATS[name]
