"""A batch that is too large for the device, split exactly.

The loss compares all images of a batch, so it can't be split; encoder and head can. They run twice
(Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup",
section 3): on each micro-batch without a graph, to know what the loss is to compare; then again
with one, to take the gradient that the loss of the whole batch has for it further back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from sslcore.compute.processes import Processes
from sslcore.compute.rng_state import generator_states, restore_generators
from sslcore.pipeline.pipeline import (
    Pipeline,
    Signals,
    engine_signals,
    signal_names,
    without_graphs,
)
from sslcore.random import BatchRandom
from sslcore.signals import batch_axis


class MicroBatches:
    """Scores a batch in micro-batches and leaves the gradient of its loss in the parameters.

    Args:
        pipeline: the stages, on the device.
        size: images that go through encoder and head at a time.
        device: where to compute.
        processes: those that share the batch.
        apart: whether a micro-batch is one process's, and moves the buffers of encoder and head
            (statistics of batch norm) from where the step found them; what becomes of them is the
            mean. Otherwise all processes share each, and buffers move on from one to the next.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        size: int,
        device: torch.device,
        processes: Processes,
        *,
        apart: bool,
    ) -> None:
        self.pipeline, self.device, self.processes, self.apart = pipeline, device, processes, apart
        self.size = size if apart else size // processes.count

    def __call__(
        self,
        images: Tensor,
        *,
        labels: Tensor | None,
        random: BatchRandom,
        progress: float,
        precision: Callable[[], AbstractContextManager[object]],
        scale: Callable[[Tensor], Tensor],
    ) -> Signals:
        """Return the signals that the loss compares, and the loss, without graphs.

        Args:
            images: (B, …), this process's part of the batch.
            labels: (B,), for a supervised loss.
            random: the random numbers of these images.
            progress: the part of training that is done.
            precision: makes the autocast under which encoder and head run.
            scale: what the loss is put through before its gradient is taken.
        """
        parts = [
            slice(start, min(start + self.size, len(images)))
            for start in range(0, len(images), self.size)
        ]

        def views_of(part: slice) -> Signals:
            made = self.pipeline.augment(
                images[part], random=random.select(part), progress=progress
            )
            return made if labels is None else made | {"labels": labels[part]}

        kept, trained, states = self._first_pass(parts, views_of, precision)
        leaves = {name: kept[name].requires_grad_() for name in trained}
        # The batch as floats takes memory, so it is made only for a loss that names it.
        named = "images" in signal_names(self.pipeline.loss)
        whole = engine_signals(images, random, progress, as_floats=named)
        made = self.pipeline.score(whole | kept, self.processes)
        scale(made["loss"]).backward()
        wanted = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        self._second_pass(parts, views_of, precision, wanted, states)
        self.processes.average_gradients(self.pipeline.trainable())
        return without_graphs(whole | kept | made)

    def _first_pass(
        self,
        parts: list[slice],
        views_of: Callable[[slice], Signals],
        precision: Callable[[], AbstractContextManager[object]],
    ) -> tuple[Signals, set[str], list[dict[str, Tensor]]]:
        """Return the signals of the whole batch that are kept, without graph.

        With them, the names of those that have a gradient, and the random states before each part.
        Buffers are left as they were: the second pass moves them, once.
        """
        wanted = {*signal_names(self.pipeline.loss), "projections", "features"}
        found: dict[str, list[Tensor]] = {}
        trained: set[str] = set()
        states = []
        with torch.no_grad(), unmoved_buffers(self.pipeline.encoder, self.pipeline.head):
            for part in parts:
                states.append(generator_states(self.device))
                signals = views_of(part)
                with precision():
                    student = self.pipeline.represent(signals)
                    taught = {} if self.pipeline.teacher is None else self.pipeline.teach(signals)
                trained |= {
                    name
                    for name, item in student.items()
                    if name in wanted and item.is_floating_point()
                }
                for name, item in (signals | student | taught).items():
                    if name in wanted and isinstance(item, Tensor) and name != "images":
                        found.setdefault(name, []).append(item)
        whole = {
            name: torch.cat(items, batch_axis(name)) if items[0].dim() else items[0]
            for name, items in found.items()
        }
        return whole, trained, states

    def _second_pass(
        self,
        parts: list[slice],
        views_of: Callable[[slice], Signals],
        precision: Callable[[], AbstractContextManager[object]],
        gradients: dict[str, Tensor],
        states: list[dict[str, Tensor]],
    ) -> None:
        """Take the gradient of the loss by the kept signals further back, part by part."""
        after = generator_states(self.device)
        moved = _MeanOfBuffers(self.pipeline.encoder, self.pipeline.head) if self.apart else None
        for part, state in zip(parts, states, strict=True):
            # What is dropped must be what was dropped in the first pass.
            restore_generators(state, self.device)
            with precision():
                again = self.pipeline.represent(views_of(part))
            self.pipeline.at = "gradient"
            ends = [name for name in gradients if again[name].requires_grad]
            torch.autograd.backward(
                [again[name] for name in ends],
                [_rows(gradients[name], name, part).to(again[name].dtype) for name in ends],
            )
            if moved is not None:
                moved.add()
        if moved is not None:
            moved.settle(self.processes)
        restore_generators(after, self.device)


def _rows(item: Tensor, name: str, part: slice) -> Tensor:
    return item.narrow(batch_axis(name), part.start, part.stop - part.start)


class _MeanOfBuffers:
    """Moves the buffers of modules to the mean of what several parts of a batch make of them."""

    def __init__(self, *modules: nn.Module | None) -> None:
        self._buffers = _buffers_of(modules)
        self._before = [buffer.clone() for buffer in self._buffers]
        self._made: list[Tensor] = []
        self._count = 0

    @torch.no_grad()
    def add(self) -> None:
        """Take note of what a part has made of the buffers, and put them back."""
        made = [buffer.clone() for buffer in self._buffers]
        for index, one in enumerate(made):
            # Of counts and flags, every part makes the same.
            if self._count and one.is_floating_point():
                one += self._made[index]
        self._made, self._count = made, self._count + 1
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.copy_(before)

    @torch.no_grad()
    def settle(self, processes: Processes) -> None:
        """Move the buffers to the mean over the parts of all processes."""
        for buffer, made in zip(self._buffers, self._made, strict=True):
            mean = processes.mean(made / self._count) if made.is_floating_point() else made
            buffer.copy_(mean)


def _buffers_of(modules: Iterable[nn.Module | None]) -> list[Tensor]:
    return [buffer for module in modules if module is not None for buffer in module.buffers()]


@contextmanager
def unmoved_buffers(*modules: nn.Module | None) -> Iterator[None]:
    """Put the buffers of modules back, in the end, as they were."""
    buffers = _buffers_of(modules)
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
