"""The state of training: everything that is needed to resume a run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sslcore.compute.rng_state import generator_states, restore_generators
from sslcore.errors import RunFolderError, last_line
from sslcore.runs.checkpoint import Checkpoint, save_checkpoint
from sslcore.training.optimizer import DESCRIPTIONS


class TrainingState:
    """Weights, optimizer, gradient scaler, generators, the losses not logged yet, and the step.

    Args:
        pipeline: the stages, with their weights and buffers.
        optimizer: the optimizer of the weights.
        scaler: the gradient scaler.
        device: the device of the run, whose generator is part of the state.
    """

    def __init__(
        self,
        pipeline: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        device: torch.device,
    ) -> None:
        self.pipeline, self.optimizer, self.scaler = pipeline, optimizer, scaler
        self.device = device
        #: Steps done.
        self.step = 0
        #: Losses since the last line of metrics.jsonl, scalars.
        self.losses: list[Tensor] = []

    def save(self, folder: Path) -> None:
        """Write a checkpoint into `folder`.

        Raises:
            RunFolderError: it can't be written; earlier checkpoints are unchanged.
        """
        state = self.optimizer.state_dict()
        tensors = {f"model/{name}": item for name, item in self.pipeline.state_dict().items()}
        numbers: dict[str, dict[str, object]] = {}
        for index, values in state["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{index}/{key}"] = value
                else:
                    numbers.setdefault(str(index), {})[key] = value
        for kind, generator in generator_states(self.device).items():
            tensors[f"random/{kind}"] = generator
        tensors["training/losses"] = torch.stack(self.losses) if self.losses else torch.zeros(0)
        scalars = {
            "optimizer": numbers,
            "groups": [_undescribed(group) for group in state["param_groups"]],
            "scaler": self.scaler.state_dict(),
        }
        save_checkpoint(folder, self.step, tensors, scalars)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state of a checkpoint.

        Raises:
            RunFolderError: the checkpoint belongs to other modules.
        """
        restore_weights(self.pipeline, checkpoint)
        state: dict[int, dict[str, object]] = {}
        for name, tensor in checkpoint.section("optimizer").items():
            index, _, key = name.partition("/")
            state.setdefault(int(index), {})[key] = tensor
        for index, numbers in checkpoint.scalars["optimizer"].items():
            state.setdefault(int(index), {}).update(numbers)
        # Whether the optimizer is fused depends on the device, which may be another one now.
        groups = [
            {**group, **saved} | ({"fused": group.get("fused")} if "fused" in saved else {})
            for saved, group in zip(
                checkpoint.scalars["groups"], self.optimizer.param_groups, strict=True
            )
        ]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        for weight, kept in self.optimizer.state.items():
            _lay_out_as(weight, kept)
        if self.scaler.is_enabled() and checkpoint.scalars["scaler"]:
            self.scaler.load_state_dict(checkpoint.scalars["scaler"])
        restore_generators(checkpoint.section("random"), self.device)
        self.losses = [loss.to(self.device) for loss in checkpoint.tensors["training/losses"]]
        self.step = checkpoint.step


def _undescribed(group: dict[str, object]) -> dict[str, object]:
    """Return a group without names and roles, which follow from the recipe."""
    return {name: value for name, value in group.items() if name not in DESCRIPTIONS}


def restore_weights(pipeline: nn.Module, checkpoint: Checkpoint) -> None:
    """Load the weights and buffers of a checkpoint into a pipeline.

    Raises:
        RunFolderError: the checkpoint belongs to other modules.
    """
    try:
        pipeline.load_state_dict(checkpoint.section("model"))
    except RuntimeError as error:
        raise RunFolderError(
            f"the checkpoint does not fit the recipe: {last_line(error)}"
        ) from error


def _lay_out_as(weight: Tensor, kept: dict[str, object]) -> None:
    """Give the state of an optimizer the memory layout of its weight.

    Files don't store the layout, and a fused optimizer reads weight and state in memory order.
    """
    for name, item in kept.items():
        if isinstance(item, Tensor) and item.shape == weight.shape:
            kept[name] = torch.empty_like(weight, dtype=item.dtype).copy_(item)
