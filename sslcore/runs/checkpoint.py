"""The file of a checkpoint: named tensors and scalars, written atomically.

A checkpoint is a safetensors file with a checksum. The newest two are kept, so that a run can
resume from the older one if the newer one is damaged.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sslcore.errors import RunFolderError, first_line
from sslcore.system.files import write_safely

_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        step: steps done.
        tensors: tensors by `section/name`.
        scalars: groups and numbers of the optimizer, and numbers of the gradient scaler.
        skipped: newer checkpoints that are damaged, with the reason.
    """

    step: int
    tensors: dict[str, Tensor]
    scalars: dict[str, Any]
    skipped: tuple[str, ...] = ()

    def section(self, section: str) -> dict[str, Tensor]:
        """Return the tensors of a section by their names within it."""
        start = f"{section}/"
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Tensor], scalars: Mapping[str, object]
) -> Path:
    """Write a checkpoint into `folder` and delete all but the one before it.

    Args:
        folder: the folder of checkpoints.
        step: steps done.
        tensors: tensors by `section/name`.
        scalars: values that JSON can hold.

    Returns:
        The path of the file.

    Raises:
        RunFolderError: the file can't be written; earlier checkpoints are unchanged.
    """
    # safetensors refuses tensors that share memory or are not contiguous.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"step": str(step), "scalars": json.dumps(scalars)}
    metadata["checksum"] = str(checksum(plain, metadata))
    path = folder / f"{_stem(step)}.safetensors"
    write_safely(path, save(plain, metadata))
    for old in _files(folder)[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read the newest checkpoint that is intact.

    Raises:
        RunFolderError: there is no checkpoint, or all are damaged.
    """
    skipped: list[str] = []
    for path in reversed(_files(folder)):
        try:
            return _read(path, tuple(skipped))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            skipped.append(f"{path.name} is damaged ({first_line(error)})")
    if skipped:
        raise RunFolderError(f"{folder}: every checkpoint is damaged: {'; '.join(skipped)}")
    raise RunFolderError(
        f"{folder}: there is no checkpoint; the run may have stopped before its first one"
    )


def has_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a checkpoint, intact or damaged."""
    return bool(_files(folder))


def _read(path: Path, skipped: tuple[str, ...]) -> Checkpoint:
    # Opened only once, since the file may be replaced meanwhile.
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("step", "scalars", "checksum"):
        if name not in metadata:
            raise ValueError(f"its metadata lacks {name}")
    if metadata["checksum"] != str(checksum(tensors, metadata)):
        raise ValueError("its checksum does not match")
    if path.stem != _stem(int(metadata["step"])):
        raise ValueError(f"it is of step {metadata['step']}")
    for name in ("random/cpu", "training/losses"):
        if name not in tensors:
            raise ValueError(f"it lacks {name}")
    scalars = json.loads(metadata["scalars"])
    _check_scalars(scalars)
    return Checkpoint(int(metadata["step"]), tensors, scalars, skipped)


def _check_scalars(scalars: object) -> None:
    """Raise ValueError unless these are the scalars of a training state."""
    if not (
        isinstance(scalars, dict)
        and scalars.keys() == {"optimizer", "groups", "scaler"}
        and isinstance(scalars["optimizer"], dict)
        and all(key.isdecimal() for key in scalars["optimizer"])
        and all(isinstance(numbers, dict) for numbers in scalars["optimizer"].values())
        and isinstance(scalars["groups"], list)
        and all(isinstance(group, dict) and "params" in group for group in scalars["groups"])
        and isinstance(scalars["scaler"], dict)
    ):
        raise ValueError("its scalars are not a state of training")


def _files(folder: Path) -> list[Path]:
    # By length first: a step may have ten digits.
    return sorted(folder.glob("step-*.safetensors"), key=lambda path: (len(path.name), path.name))


def _stem(step: int) -> str:
    return f"step-{step:09d}"


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> int:
    """Return the checksum of the content of a checkpoint: tensors, step and scalars."""
    total = zlib.crc32(f"{metadata['step']} {metadata['scalars']}".encode())
    for name in sorted(tensors):
        data = tensors[name].flatten().view(torch.uint8).numpy().data
        total = zlib.crc32(data, zlib.crc32(name.encode(), total))
    return total
