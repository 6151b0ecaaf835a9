"""Checkpoints: everything that a run needs to go on, in one file that is always complete.

A checkpoint is a safetensors file, written beside, synced and renamed. Two are kept, so that a
damaged one costs the steps since the one before it and no more.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sslcore.errors import RunFolderError
from sslcore.system.files import write_safely
from sslcore.compute.rng_state import generator_states, restore_generators

_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """What was read from a checkpoint.

    Attributes:
        step: steps done.
        tensors: every tensor, by `part/name`.
        scalars: the optimizer's groups and numbers, and the scaler's.
        skipped: newer checkpoints that were damaged, with the reason.
    """

    step: int
    tensors: dict[str, Tensor]
    scalars: dict[str, Any]
    skipped: tuple[str, ...] = ()

    def restore(self, pipeline: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Put weights, buffers and, with an optimizer, its state and torch's random state back.

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
        # Which form of the optimizer computes is a matter of the device, not of the run.
        groups = [
            {**saved, "fused": group.get("fused")} if "fused" in saved else saved
            for saved, group in zip(self.scalars["groups"], optimizer.param_groups, strict=True)
        ]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        _lay_out_as_weights(optimizer)
        restore_generators(self._part("random"), _device_of(pipeline))

    @property
    def losses(self) -> list[Tensor]:
        """The losses since the last line of metrics.jsonl, scalars."""
        return list(self.tensors["training/losses"])

    def _part(self, part: str) -> dict[str, Tensor]:
        start = f"{part}/"
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def _lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Lay out what an optimizer keeps of each weight as the weight itself.

    A file has no layout, and a fused optimizer goes through weight and state as they lie in memory.
    """
    for weight, kept in optimizer.state.items():
        for name, item in kept.items():
            if isinstance(item, Tensor) and item.shape == weight.shape:
                laid_out = torch.empty_like(weight, dtype=item.dtype)
                kept[name] = laid_out.copy_(item)


def save_checkpoint(
    folder: Path,
    step: int,
    pipeline: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: Mapping[str, Any] | None = None,
    losses: Sequence[Tensor] = (),
) -> Path:
    """Write a checkpoint into `folder` and delete the ones older than the one before it.

    Args:
        folder: where to.
        step: steps done.
        pipeline: the stages.
        optimizer: of their weights.
        scaler: the numbers of the gradient scaler, where there is one.
        losses: scalars that no line of metrics.jsonl has told of yet.

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
    for kind, generator in generator_states(_device_of(pipeline)).items():
        tensors[f"random/{kind}"] = generator
    tensors["training/losses"] = torch.stack(list(losses)) if losses else torch.zeros(0)
    # safetensors refuses tensors that share memory or are not contiguous.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    scalars = {
        "optimizer": numbers,
        "groups": state["param_groups"],
        "scaler": dict(scaler or {}),
    }
    metadata = {"step": str(step), "scalars": json.dumps(scalars)}
    metadata["checksum"] = str(_checksum(plain, metadata))
    path = folder / f"{_stem(step)}.safetensors"
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
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            skipped.append(f"{path.name} is damaged ({reason})")
    if skipped:
        raise RunFolderError(f"{folder}: no checkpoint is whole: {'; '.join(skipped)}")
    raise RunFolderError(f"{folder}: there is no checkpoint; was the run stopped before its first?")


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has come to its first checkpoint."""
    return bool(_files(folder))


def _read(path: Path, skipped: tuple[str, ...]) -> Checkpoint:
    # One opening: what is read belongs together, even if the file is replaced meanwhile.
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("step", "scalars", "checksum"):
        if name not in metadata:
            raise ValueError(f"it does not say its {name}")
    if metadata["checksum"] != str(_checksum(tensors, metadata)):
        raise ValueError("its checksum differs")
    if path.stem != _stem(int(metadata["step"])):
        raise ValueError(f"it is of step {metadata['step']}")
    for name in ("random/cpu", "training/losses"):
        if name not in tensors:
            raise ValueError(f"it lacks {name}")
    scalars = json.loads(metadata["scalars"])
    _check_scalars(scalars)
    return Checkpoint(int(metadata["step"]), tensors, scalars, skipped)


def _check_scalars(scalars: Any) -> None:
    """Raise ValueError unless these are the scalars that `save_checkpoint` writes."""
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
        raise ValueError("its scalars are not those of a checkpoint")


def _files(folder: Path) -> list[Path]:
    # A step of ten digits comes after those of nine.
    return sorted(folder.glob("step-*.safetensors"), key=lambda path: (len(path.name), path.name))


def _stem(step: int) -> str:
    return f"step-{step:09d}"


def _device_of(pipeline: nn.Module) -> torch.device:
    return next((item.device for item in pipeline.parameters()), torch.device("cpu"))


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> int:
    """Return a number for everything in a checkpoint: tensors, step and scalars."""
    total = zlib.crc32(f"{metadata['step']} {metadata['scalars']}".encode())
    for name in sorted(tensors):
        data = tensors[name].flatten().view(torch.uint8).numpy().data
        total = zlib.crc32(data, zlib.crc32(name.encode(), total))
    return total
