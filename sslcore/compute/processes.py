"""The processes that train one model together: which one this is, and what they tell each other.

torchrun starts them, several on each machine. Each takes its part of every batch; the author of a
loss notices nothing of it, since what the loss compares is gathered before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sslcore import errors
from sslcore.compute.rendezvous import meet
from sslcore.compute.torchrun import local_rank, process_count
from sslcore.errors import LostProcessError, SslcoreError, UsageError, first_line


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: of this process, counted from 0 over all machines.
        count: processes in all.
        local_rank: of this process on its machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1

    def part(self, size: int) -> slice:
        """Return this process's part of `size` images that all processes share.

        Raises:
            UsageError: they can't share them evenly.
        """
        if size % self.count:
            fewer, more = size // self.count * self.count, -(-size // self.count) * self.count
            sizes = f"{fewer} or {more}" if fewer else f"{more}"
            raise UsageError(
                f"{self.count} processes can't share batches of {size} images evenly: say "
                f"--batch-size {sizes}, or start a number of processes that divides {size}"
            )
        each = size // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    def gather(self, tensor: Tensor, axis: int) -> Tensor:
        """Return the tensors of all processes, joined along an axis, in the order of ranks.

        The gradient of each process's part is the sum of what all processes have for it.
        """
        if not self.several:
            return tensor
        if tensor.requires_grad and torch.is_grad_enabled():
            return _Gather.apply(tensor, axis, self.rank, self.count)
        return _gathered(tensor, axis, self.count)

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean over all processes, without gradient."""
        if not self.several:
            return tensor.detach()
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace the gradient of each parameter by the mean over all processes."""
        if not self.several:
            return
        gradients = [each.grad for each in parameters if each.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        parts = (flat / self.count).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def any(self, here: bool) -> bool:
        """Whether it is so in any process; waits for all, and not for the device."""
        if not self.several:
            return here
        said = torch.tensor([int(here)])
        dist.all_reduce(said, op=dist.ReduceOp.MAX, group=_words())
        return bool(said)

    def first(self, make: Callable[[], str]) -> str:
        """Return the text that `make` gives the process that leads; it is called there alone.

        Raises:
            SslcoreError: `make` raised one; it is then raised in every process.
        """
        if not self.several:
            return make()
        failure: SslcoreError | None = None
        kind, text = "", ""
        if self.leads:
            try:
                text = make()
            except SslcoreError as error:
                failure, kind, text = error, type(error).__name__, str(error)
        kind, text = _told(f"{kind}\n{text}").split("\n", 1)
        if failure is not None:
            raise failure
        if kind:
            # All that is raised there is made of its text alone, or says it as its base does.
            known = getattr(errors, kind, SslcoreError)
            raise (SslcoreError if known is errors.SettingsError else known)(text)
        return text

    @contextmanager
    def one_before_others(self) -> Iterator[None]:
        """Let the first process of each machine through before the others of it.

        What it prepares (a download, a cache) is then there for them.
        """
        first = self.local_rank == 0
        if self.several and not first:
            dist.barrier(group=_words())
        try:
            yield
        finally:
            # Also where it failed: the others will find the same, and say so.
            if self.several and first:
                dist.barrier(group=_words())

    def same(self, number: int) -> bool:
        """Whether all processes have the same number."""
        if not self.several:
            return True
        here = torch.tensor([number, -number])
        dist.all_reduce(here, op=dist.ReduceOp.MAX, group=_words())
        return int(here[0]) == number and int(here[1]) == -number


#: One process, which shares with nobody.
ALONE = Processes()


class _Gather(torch.autograd.Function):
    """Joins tensors of all processes; their gradients come back summed."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, axis: int, rank: int, count: int) -> Tensor:
        ctx.axis, ctx.rank, ctx.size = axis, rank, tensor.shape[axis]
        return _gathered(tensor, axis, count)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        own = gradient.narrow(ctx.axis, ctx.rank * ctx.size, ctx.size)
        return own.contiguous(), None, None, None


def _told(text: str) -> str:
    """Return the text that the process that leads has; what the others have is not looked at."""
    said = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    length = torch.tensor([len(said)])
    dist.broadcast(length, 0, group=_words())
    if dist.get_rank():
        said = torch.empty(int(length), dtype=torch.uint8)
    dist.broadcast(said, 0, group=_words())
    return bytes(said.tolist()).decode()


def _gathered(tensor: Tensor, axis: int, count: int) -> Tensor:
    own = tensor.detach().contiguous()
    # Not every backend sends booleans.
    sent = own.view(torch.uint8) if own.dtype == torch.bool else own
    parts = [torch.empty_like(sent) for _ in range(count)]
    dist.all_gather(parts, sent)
    return torch.cat(parts, axis).view(own.dtype)


_group_of_words: Any = None


def _words() -> Any:
    """Return the group in which processes tell each other words: never through an accelerator."""
    return _group_of_words


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun has started; without torchrun, be alone.

    Args:
        device: where this process computes.

    Raises:
        UsageError: the processes can't find each other, or such a device can't be shared.
    """
    global _group_of_words
    count = process_count()
    if count == 1:
        yield ALONE
        return
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"several processes can't train on {device}; start one, without torchrun")
    if device.type == "cuda":
        # What is sent without a word about where goes over the current device.
        torch.cuda.set_device(device)
    own = not dist.is_initialized()
    if own:
        try:
            _find_each_other("nccl" if device.type == "cuda" else "gloo")
        except (ValueError, RuntimeError) as error:
            raise UsageError(
                f"started as {count} processes, which can't find each other: {first_line(error)}; "
                "start them with torchrun, on machines that reach each other"
            ) from error
    _group_of_words = dist.new_group(backend="gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), local_rank())
    except RuntimeError as error:
        if is_of_a_lost_process(error):
            raise LostProcessError(
                "another process of this run has gone before a step was made; it says why"
            ) from error
        raise
    finally:
        _group_of_words = None
        if own:
            dist.destroy_process_group()


def _find_each_other(backend: str) -> None:
    store, rank, count = next(iter(dist.rendezvous("env://")))
    # What earlier processes have left in the store is not to be read.
    store = dist.PrefixStore(meet(store, rank, count), store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count)


def is_of_a_lost_process(error: BaseException) -> bool:
    """Whether an error means that another process has gone."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError)
        and any(word in str(error) for word in ("closed by peer", "gloo", "Gloo", "NCCL"))
    )
