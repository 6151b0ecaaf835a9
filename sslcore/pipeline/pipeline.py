"""Signals through the stages: from images to views, features, projections and the loss.

Each stage is called with the signals that its `forward` names, and the signals that it returns join
them. The engine knows no stage by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Container, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.compute.processes import ALONE, Processes
from sslcore.contract.interface import ENGINE_SIGNALS
from sslcore.data.sources import Crops
from sslcore.functional import as_float
from sslcore.pipeline.teacher import TeacherStages
from sslcore.random import BatchRandom
from sslcore.signals import batch_axis

Signals = dict[str, Any]

#: Signals of the engine, apart from `images`, that have a row for each image, (B, …).
OF_IMAGES = ("indices",)


class Pipeline(nn.Module):
    """Augmentation, encoder, head and loss in a row, with a teacher where the method has one.

    Args:
        augmentation: makes `views` (V, B, C, h, w) of `images`.
        encoder: turns (V·B, C, h, w) into features.
        head: turns features into what the loss compares; None where it compares features.
        loss: returns a scalar, or a dict with `loss` and numbers to log.
        teacher: a second encoder, and a second head; None without a teacher.
        feature_dim: length of a feature vector, if it is known.
        frozen: whether the encoder keeps its weights, and stays in eval mode.
        of_images: the signals, apart from `images`, that have a row for each image, (B, …).
    """

    def __init__(
        self,
        augmentation: nn.Module,
        encoder: nn.Module,
        head: nn.Module | None,
        loss: nn.Module,
        *,
        teacher: TeacherStages | None = None,
        feature_dim: int | None = None,
        frozen: bool = False,
        of_images: Collection[str] = OF_IMAGES,
    ) -> None:
        super().__init__()
        self.feature_dim, self.frozen = feature_dim, frozen
        self.of_images = frozenset(of_images)
        self.augmentation, self.encoder, self.head, self.loss = augmentation, encoder, head, loss
        #: The stage that is being computed, for the message when memory runs out.
        self.at = ""
        self.teacher = teacher
        if frozen:
            encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Pipeline:
        """Put the stages into training or eval mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(
        self,
        images: Tensor | Crops,
        *,
        random: BatchRandom | None = None,
        progress: float = 0.0,
        step: int = 0,
        labels: Tensor | None = None,
        given: Mapping[str, Tensor] | None = None,
        precision: AbstractContextManager[object] | None = None,
        processes: Processes = ALONE,
    ) -> Signals:
        """Return all signals of a batch, `loss` (a scalar with graph) among them.

        Args:
            images: (B, C, H, W) or (B, T, C, H, W), uint8 or float in [0, 1]; or the boxes that the
                augmentation asked for.
            random: this step's random numbers.
            progress: the part of training that is done.
            step: number of steps done.
            labels: (B,), for a loss that is marked as supervised.
            given: what else comes with each image, by signal, (B, …).
            precision: the autocast under which encoder and head run; full precision by default.
            processes: those that share the batch; `images` are this one's part of it.
        """
        signals = self.augment(images, random=random, progress=progress, step=step, given=given)
        if labels is not None:
            signals["labels"] = labels
        with precision if precision is not None else nullcontext():
            student = self.represent(signals)
            taught = {} if self.teacher is None else self.teach(signals)
        signals |= student | taught
        return signals | self.score(signals, processes)

    def augment(
        self,
        images: Tensor | Crops,
        *,
        random: BatchRandom | None,
        progress: float,
        step: int = 0,
        given: Mapping[str, Tensor] | None = None,
    ) -> Signals:
        """Return the engine's signals and those of the augmentation."""
        self.at = "augmentation"
        return augment(
            self.augmentation, images, random=random, progress=progress, step=step, given=given
        )

    def represent(self, signals: Signals) -> Signals:
        """Return the signals of encoder and head."""
        self.at = "encoder"
        made = encode(self.encoder, signals, self.of_images)
        self.at = "head"
        return made | project(self.head, signals | made)

    def score(self, signals: Signals, processes: Processes = ALONE) -> Signals:
        """Return `loss` and the numbers that come with it, of the batch of all processes."""
        self.at = "loss"
        # A log-sum-exp over a batch loses too many digits in half precision.
        compared = {
            name: _full_precision(signals[name])
            for name in signal_names(self.loss)
            if name in signals
        }
        if processes.several:
            compared = gathered(compared, processes, signals["features"].shape[1], self.batch_axis)
        compared.setdefault("rows", None)
        score = call(self.loss, compared)
        self.at = "gradient"
        return dict(score) if isinstance(score, Mapping) else {"loss": score}

    @torch.no_grad()
    def teach(self, signals: Signals) -> Signals:
        """Return the signals of the teacher, named `teacher_…`.

        Args:
            signals: those of the engine and of the augmentation.
        """
        assert self.teacher is not None
        return self.taught(self.teacher.inputs(signals))

    @torch.no_grad()
    def taught(self, seen: Signals) -> Signals:
        """Return the signals of the teacher, given the signals that it gets."""
        assert self.teacher is not None
        self.at = "teacher"
        made = encode(self.teacher["encoder"], seen, self.of_images)
        if "head" in self.teacher:
            made |= project(self.teacher["head"], seen | made)
        return {f"teacher_{name}": item for name, item in made.items()}

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """Move the teacher towards the student: weights by `momentum`, buffers copied."""
        if self.teacher is None or self.teacher.frozen:
            return
        for name, module in self.teacher.items():
            student = getattr(self, name)
            for weight, moved in zip(module.parameters(), student.parameters(), strict=True):
                weight.lerp_(moved, 1 - momentum)
            for buffer, moved in zip(module.buffers(), student.buffers(), strict=True):
                buffer.copy_(moved)

    def batch_axis(self, name: str) -> int:
        """Return the axis along which a signal has the images of a batch."""
        return 0 if name in self.of_images else batch_axis(name)

    def wanted(self) -> set[str]:
        """Return the signals that any stage names."""
        taught = [] if self.teacher is None else self.teacher.stages()
        return {name for stage in (*self.stages, *taught) for name in signal_names(stage)}

    @property
    def stages(self) -> list[nn.Module]:
        """The stages of the student, in the order in which a tensor passes them."""
        stages = (self.augmentation, self.encoder, self.head, self.loss)
        return [stage for stage in stages if stage is not None]

    @property
    def supervised(self) -> bool:
        """Whether the loss asks for labels."""
        return "labels" in signal_names(self.loss)

    def trainable(self) -> list[nn.Parameter]:
        """Return the parameters that the optimizer moves."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def call(stage: nn.Module, signals: Signals) -> Any:
    """Call a stage with those of the signals that its `forward` names."""
    return stage(**{name: signals[name] for name in signal_names(stage) if name in signals})


def engine_signals(
    images: Tensor | Crops,
    random: BatchRandom | None,
    progress: float,
    *,
    step: int = 0,
    given: Mapping[str, Tensor] | None = None,
    as_floats: bool = True,
) -> Signals:
    """Return the signals that the engine provides to every stage of training.

    Their names and meanings stand in `sslcore.contract.interface.ENGINE_SIGNALS`; `rows` joins
    them before the loss.

    Args:
        images: (B, C, H, W) or (B, T, C, H, W), uint8 or float in [0, 1]; or boxes of originals,
            which are signals in place of `images`.
        random: this step's random numbers; None in eval mode.
        progress: the part of training that is done, in [0, 1].
        step: number of steps done.
        given: what else comes with each image, by signal, (B, …).
        as_floats: whether to convert the images, where no stage has done so.
    """
    pixels = images.signals if isinstance(images, Crops) else {"images": images}
    if as_floats:
        pixels = {
            name: as_float(item) if item.dtype == torch.uint8 else item
            for name, item in pixels.items()
        }
    return {**pixels, **(given or {}), "random": random, "progress": progress, "step": step}


@torch.no_grad()
def augment(
    augmentation: nn.Module,
    images: Tensor | Crops,
    *,
    random: BatchRandom | None = None,
    progress: float = 0.0,
    step: int = 0,
    given: Mapping[str, Tensor] | None = None,
) -> Signals:
    """Return the engine's signals and those of the augmentation, without graph."""
    signals = engine_signals(images, random, progress, step=step, given=given)
    made: Signals = call(augmentation, signals)
    return signals | made


def encode(encoder: nn.Module, signals: Signals, of_images: Collection[str] = OF_IMAGES) -> Signals:
    """Run an encoder on flattened views and restore (V, B, …) in the signals that it returns.

    If there are `local_views`, it runs on these as well, and `features` are those of all views,
    the local ones last. Its other signals belong to `views` alone.

    Args:
        encoder: the encoder.
        signals: its inputs.
        of_images: the signals (B, …) that belong to whole images, and so to each of their views.

    Raises:
        ValueError: features of local views have another length.
    """
    made = _encode(encoder, signals, of_images)
    if "local_views" not in signals:
        return made
    # What else the augmentation made belongs to the views.
    kept = {name: signals[name] for name in {*ENGINE_SIGNALS, *of_images} if name in signals}
    local = _encode(encoder, {**kept, "views": signals["local_views"]}, of_images)["features"]
    if local.shape[2:] != made["features"].shape[2:]:
        raise ValueError(
            f"features of views of {signals['views'].shape[-1]} px have length "
            f"{made['features'].shape[-1]}, and those of local views of "
            f"{signals['local_views'].shape[-1]} px {local.shape[-1]}: an encoder for both sizes "
            "averages over positions"
        )
    return made | {"features": torch.cat((made["features"], local))}


def _encode(encoder: nn.Module, signals: Signals, of_images: Collection[str]) -> Signals:
    views, batch = signals["views"].shape[:2]
    flat = {name: signals[name] for name in signal_names(encoder) if name in signals}
    for name, item in flat.items():
        if isinstance(item, Tensor) and name != "images":
            of_views = item.expand(views, *item.shape) if name in of_images else item
            flat[name] = of_views.flatten(0, 1)
    if _wants_channels_last(encoder):
        flat["views"] = flat["views"].contiguous(memory_format=torch.channels_last)
    made = call(encoder, flat)
    return {name: item.unflatten(0, (views, batch)) for name, item in made.items()}


def gathered(
    signals: Signals, processes: Processes, batch: int, axis_of: Callable[[str], int]
) -> Signals:
    """Return the signals of the global batch, and `rows`, the share of this process.

    Raises:
        ValueError: a signal does not have the images of the batch where signals have them.
    """
    joined: Signals = {"rows": processes.share(batch * processes.count)}
    for name, item in signals.items():
        if isinstance(item, BatchRandom):
            joined[name] = item.whole()
        elif isinstance(item, Tensor) and item.dim() > 0:
            axis = axis_of(name)
            if item.dim() <= axis or item.shape[axis] != batch:
                raise ValueError(
                    f"signal {name} of shape {tuple(item.shape)} has no {batch} images along axis "
                    f"{axis}, so several processes can't share it: signals are (V, B, ...)"
                )
            joined[name] = processes.gather(item, axis)
        else:
            joined[name] = item
    return joined


def project(head: nn.Module | None, signals: Signals) -> Signals:
    """Run a head, if there is one."""
    return {} if head is None else call(head, signals)


def without_graphs(signals: Signals, but: Container[str] = ()) -> Signals:
    """Return the signals detached, save those named."""
    return {
        name: item.detach() if isinstance(item, Tensor) and name not in but else item
        for name, item in signals.items()
    }


def signal_names(stage: nn.Module) -> list[str]:
    """Return the signals that a stage's `forward` names, needed or optional."""
    names = stage.__dict__.get("_signal_names")
    if names is None:
        names = list(inspect.signature(type(stage).forward).parameters)[1:]
        stage.__dict__["_signal_names"] = names
    return names


def _wants_channels_last(encoder: nn.Module) -> bool:
    return any(
        weight.dim() == 4
        and weight.is_contiguous(memory_format=torch.channels_last)
        and not weight.is_contiguous()
        for weight in encoder.parameters()
    )


def _full_precision(item: object) -> object:
    if isinstance(item, Tensor) and item.dtype in (torch.bfloat16, torch.float16):
        return item.float()
    return item
