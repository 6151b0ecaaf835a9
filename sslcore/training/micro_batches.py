"""The exact gradient of a batch that is too large for the memory of the device.

The loss compares all images of a batch, so only encoder and head can run on micro-batches. They run
twice (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup",
section 3). The first pass has no graph and computes the inputs of the loss, which then gives their
gradient for the whole batch. The second pass has a graph and propagates that gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from sslcore.compute.processes import Processes
from sslcore.compute.rng_state import generator_states, restore_generators
from sslcore.data.batches import Batch
from sslcore.pipeline.pipeline import (
    Pipeline,
    Signals,
    engine_signals,
    signal_names,
    without_graphs,
)
from sslcore.random import BatchRandom
from sslcore.signals import batch_axis
from sslcore.training.shuffled_teacher import seen_by_teacher, teach_shuffled


class MicroBatches:
    """Computes the loss of a batch in micro-batches, and adds its gradient to the parameters.

    Args:
        pipeline: the stages, on the device.
        size: images in a micro-batch.
        device: where to compute.
        processes: the processes that share the batch.
        apart: whether each micro-batch belongs to one process and has batch statistics of its own.
            Each then moves the buffers of encoder and head from their values before the step, and
            the step ends with the mean. If not, all processes share each micro-batch, and the
            buffers move from one micro-batch to the next.
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
        batch: Batch,
        *,
        random: BatchRandom,
        progress: float,
        precision: Callable[[], AbstractContextManager[object]],
        scale: Callable[[Tensor], Tensor],
    ) -> Signals:
        """Return the loss and its inputs, without graphs.

        Args:
            batch: the images of this process.
            random: the random numbers of these images.
            progress: fraction of training that is done, in [0, 1).
            precision: makes the context in which encoder and head run.
            scale: scales the loss before its gradient is computed.
        """
        slices = [
            slice(start, min(start + self.size, len(batch.images)))
            for start in range(0, len(batch.images), self.size)
        ]

        def views_of(rows: slice) -> Signals:
            part = batch.part(rows)
            views = self.pipeline.augment(
                part.images,
                random=random.select(rows),
                progress=progress,
                step=batch.step,
                given=part.given,
            )
            return views if part.labels is None else views | {"labels": part.labels}

        kept, trained, states = self._first_pass(slices, views_of, precision, random)
        leaves = {name: kept[name].requires_grad_() for name in trained}
        # The batch as floats takes memory, so it is made only for a loss that names it.
        named = "images" in signal_names(self.pipeline.loss)
        whole = engine_signals(
            batch.images, random, progress, step=batch.step, given=batch.given, as_floats=named
        )
        scored = self.pipeline.score(whole | kept, self.processes)
        scale(scored["loss"]).backward()
        gradients = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        self._second_pass(slices, views_of, precision, gradients, states)
        self.processes.average_gradients(self.pipeline.trainable())
        return without_graphs(whole | kept | scored)

    def _first_pass(
        self,
        slices: list[slice],
        views_of: Callable[[slice], Signals],
        precision: Callable[[], AbstractContextManager[object]],
        random: BatchRandom,
    ) -> tuple[Signals, set[str], list[dict[str, Tensor]]]:
        """Return the inputs of the loss for the whole batch, without graph.

        Also return the names of those that need a gradient, and the random states before each
        micro-batch. Buffers keep their values, because the second pass moves them.
        """
        wanted = {*signal_names(self.pipeline.loss), "projections", "features"}
        found: dict[str, list[Tensor]] = {}
        trained: set[str] = set()
        states: list[dict[str, Tensor]] = []
        seen: list[Signals] = []
        teacher = self.pipeline.teacher
        shuffled = self.apart and teacher is not None and teacher.shuffle
        with torch.no_grad(), unmoved_buffers(self.pipeline.encoder, self.pipeline.head):
            for rows in slices:
                states.append(generator_states(self.device))
                signals = views_of(rows)
                with precision():
                    student = self.pipeline.represent(signals)
                    taught: Signals = {}
                    if shuffled:
                        seen.append(seen_by_teacher(self.pipeline, signals))
                    elif teacher is not None:
                        taught = self.pipeline.teach(signals)
                trained |= {
                    name
                    for name, item in student.items()
                    if name in wanted and item.is_floating_point()
                }
                for name, item in (signals | student | taught).items():
                    if name in wanted and isinstance(item, Tensor) and name != "images":
                        found.setdefault(name, []).append(item)
        axis_of = self.pipeline.batch_axis
        whole: Signals = {
            name: torch.cat(items, axis_of(name)) if items[0].dim() else items[0]
            for name, items in found.items()
        }
        if shuffled:
            made = teach_shuffled(self.pipeline, seen, self.size, random, self.processes, precision)
            whole |= {name: item for name, item in made.items() if name in wanted}
        return whole, trained, states

    def _second_pass(
        self,
        slices: list[slice],
        views_of: Callable[[slice], Signals],
        precision: Callable[[], AbstractContextManager[object]],
        gradients: dict[str, Tensor],
        states: list[dict[str, Tensor]],
    ) -> None:
        """Propagate the gradients of the inputs of the loss into the parameters."""
        after = generator_states(self.device)
        moved = _MeanOfBuffers(self.pipeline.encoder, self.pipeline.head) if self.apart else None
        for rows, state in zip(slices, states, strict=True):
            # Dropout must draw the same numbers as in the first pass.
            restore_generators(state, self.device)
            with precision():
                again = self.pipeline.represent(views_of(rows))
            self.pipeline.at = "gradient"
            ends = [name for name in gradients if again[name].requires_grad]
            torch.autograd.backward(
                [again[name] for name in ends],
                [_select(gradients[name], name, rows).to(again[name].dtype) for name in ends],
            )
            if moved is not None:
                moved.add()
        if moved is not None:
            moved.settle(self.processes)
        restore_generators(after, self.device)


def _select(signal: Tensor, name: str, rows: slice) -> Tensor:
    return signal.narrow(batch_axis(name), rows.start, rows.stop - rows.start)


class _MeanOfBuffers:
    """Moves the buffers of modules to the mean of their values after each micro-batch."""

    def __init__(self, *modules: nn.Module | None) -> None:
        self._buffers = _buffers_of(modules)
        self._before = [buffer.clone() for buffer in self._buffers]
        self._sums: list[Tensor] = []
        self._count = 0

    @torch.no_grad()
    def add(self) -> None:
        """Add the values of the buffers after a micro-batch, and restore those before it."""
        sums = [buffer.clone() for buffer in self._buffers]
        for index, value in enumerate(sums):
            # Counts and flags are equal after every micro-batch.
            if self._count and value.is_floating_point():
                value += self._sums[index]
        self._sums, self._count = sums, self._count + 1
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.copy_(before)

    @torch.no_grad()
    def settle(self, processes: Processes) -> None:
        """Move the buffers to the mean over the micro-batches of all processes."""
        for buffer, total in zip(self._buffers, self._sums, strict=True):
            mean = processes.mean(total / self._count) if total.is_floating_point() else total
            buffer.copy_(mean)


def _buffers_of(modules: Iterable[nn.Module | None]) -> list[Tensor]:
    return [buffer for module in modules if module is not None for buffer in module.buffers()]


@contextmanager
def unmoved_buffers(*modules: nn.Module | None) -> Iterator[None]:
    """Restore the buffers of modules at the end of the context."""
    buffers = _buffers_of(modules)
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
