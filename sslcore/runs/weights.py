"""Weights in safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from sslcore.errors import RunFolderError
from sslcore.system.files import write_safely


def write_weights(path: Path, module: nn.Module, *, step: int | None = None) -> None:
    """Write the weights and buffers of a module.

    Args:
        path: the file.
        module: the module.
        step: the step after which it has these weights, for `step_of`.

    Raises:
        RunFolderError: the file can't be written.
    """
    metadata = None if step is None else {"step": str(step)}
    save_weights(path, module.state_dict(), metadata)


def save_weights(
    path: Path, weights: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors by name.

    Raises:
        RunFolderError: the file can't be written.
    """
    from safetensors.torch import save

    # Tensors that share memory can't be written as they are.
    owned = {name: item.detach().cpu().contiguous().clone() for name, item in weights.items()}
    write_safely(path, save(owned, metadata))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights in a file, by name.

    Raises:
        FileNotFoundError: there is no such file.
        RunFolderError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise RunFolderError(f"{path} is damaged: {error}") from error


def step_of(path: Path) -> int | None:
    """Return the step that was written with the weights; None where there is none."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        step = (file.metadata() or {}).get("step", "")
    return int(step) if step.isdecimal() else None
