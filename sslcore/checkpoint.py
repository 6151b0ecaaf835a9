"""Checkpoints: everything that a run needs to go on, in one file that is always complete.

A checkpoint is a safetensors file, written beside, synced and renamed. Two are kept, so that a
damaged one costs the steps since the one before it and no more.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from sslcore.errors import RunFolderError
from sslcore.files import write_safely

_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """What was read from a checkpoint.

    Attributes:
        step: steps done.
        tensors: every tensor, by `part/name`.
        scalars: the optimizer's groups and numbers.
        skipped: newer checkpoints that were damaged, with the reason.
    """

    step: int
    tensors: dict[str, Tensor]
    scalars: dict[str, Any]
    skipped: tuple[str, ...] = ()

    def restore(self, pipeline: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Put weights, buffers, optimizer state and torch's random state back.

        Raises:
            RunFolderError: the tensors are those of other modules.
        """
        try:
            pipeline.load_state_dict(self._part("model"))
        except RuntimeError as error:
            raise RunFolderError(
                f"the checkpoint does not fit the recipe: {str(error).splitlines()[-1].strip()}"
            ) from error
        if optimizer is None:
            return
        state: dict[int, dict[str, Any]] = {}
        for name, tensor in self._part("optimizer").items():
            index, _, key = name.partition("/")
            state.setdefault(int(index), {})[key] = tensor
        for index, numbers in self.scalars["optimizer"].items():
            state.setdefault(int(index), {}).update(numbers)
        optimizer.load_state_dict({"state": state, "param_groups": self.scalars["groups"]})
        torch.set_rng_state(self.tensors["random/cpu"])
        if torch.cuda.is_available() and "random/cuda" in self.tensors:
            torch.cuda.set_rng_state(self.tensors["random/cuda"])

    def _part(self, part: str) -> dict[str, Tensor]:
        start = f"{part}/"
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def save_checkpoint(
    folder: Path,
    step: int,
    pipeline: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: Mapping[str, Any] | None = None,
) -> Path:
    """Write a checkpoint into `folder` and delete the ones older than the one before it.

    Raises:
        RunFolderError: it can't be written; the checkpoints before it are untouched.
    """
    state = optimizer.state_dict()
    tensors = {f"model/{name}": tensor for name, tensor in pipeline.state_dict().items()}
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{key}"] = value
            else:
                numbers.setdefault(str(index), {})[key] = value
    tensors["random/cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random/cuda"] = torch.cuda.get_rng_state()
    # safetensors refuses tensors that share memory or are not contiguous.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    scalars = {
        "optimizer": numbers,
        "groups": state["param_groups"],
        "scaler": dict(scaler or {}),
    }
    metadata = {
        "step": str(step),
        "scalars": json.dumps(scalars),
        "checksum": str(_checksum(plain)),
    }
    path = folder / f"step-{step:09d}.safetensors"
    write_safely(path, save(plain, metadata))
    for old in _files(folder)[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read the newest checkpoint that is whole.

    Raises:
        RunFolderError: there is none; `has_checkpoint` tells whether there is one at all.
    """
    skipped: list[str] = []
    for path in reversed(_files(folder)):
        try:
            return _read(path, tuple(skipped))
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            skipped.append(f"{path.name} is damaged ({str(error).splitlines()[0]})")
    if skipped:
        raise RunFolderError(f"{folder}: no checkpoint is whole: {'; '.join(skipped)}")
    raise RunFolderError(f"{folder}: there is no checkpoint; was the run stopped before its first?")


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has come to its first checkpoint."""
    return bool(_files(folder))


def _read(path: Path, skipped: tuple[str, ...]) -> Checkpoint:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    tensors = load_file(path)
    if str(_checksum(tensors)) != metadata["checksum"]:
        raise ValueError("its checksum differs")
    return Checkpoint(int(metadata["step"]), tensors, json.loads(metadata["scalars"]), skipped)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"))


def _checksum(tensors: dict[str, Tensor]) -> int:
    total = 0
    for name in sorted(tensors):
        data = tensors[name].flatten().view(torch.uint8).numpy().data
        total = zlib.crc32(data, zlib.crc32(name.encode(), total))
    return total
