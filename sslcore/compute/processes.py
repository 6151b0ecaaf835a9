"""The processes that train one model together: their ranks, and how they communicate.

torchrun starts them on one machine or more. Each process takes its share of every batch. The engine
gathers the inputs of a loss, so a loss needs no code for several processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from sslcore import errors
from sslcore.compute.rendezvous import rendezvous
from sslcore.compute.torchrun import local_rank, process_count
from sslcore.compute.turns import Turns
from sslcore.errors import LostProcessError, SslcoreError, UsageError, first_line


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: rank of this process, counted from 0 over all machines.
        count: number of processes.
        local_rank: rank of this process on its machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which writes files and prints."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are other processes."""
        return self.count > 1

    def share(self, size: int) -> slice:
        """Return the rows that this process takes of a batch of `size` images.

        Raises:
            UsageError: the number of processes does not divide the batch.
        """
        if size % self.count:
            fewer, more = size // self.count * self.count, -(-size // self.count) * self.count
            sizes = f"{fewer} or {more}" if fewer else f"{more}"
            raise UsageError(
                f"{self.count} processes can't share batches of {size} images evenly; use "
                f"--batch-size {sizes}, or start a number of processes that divides {size}"
            )
        each = size // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    def gather(self, tensor: Tensor, axis: int) -> Tensor:
        """Gather the tensors of all processes along an axis, in the order of ranks.

        The gradient of the rows of one process is the sum of their gradients in all processes.
        """
        if not self.several:
            return tensor
        if tensor.requires_grad and torch.is_grad_enabled():
            joined: Tensor = _Gather.apply(tensor, axis, self.rank, self.count)
            return joined
        return _gathered(tensor, axis, self.count)

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes, without gradient."""
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
        means = torch.split(flat / self.count, [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def any(self, here: bool) -> bool:
        """Whether a flag is true in any process; waits for all processes, not for the device."""
        if not self.several:
            return here
        flag = torch.tensor([int(here)])
        dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=_control)
        return bool(flag)

    def from_main(self, make: Callable[[], str]) -> str:
        """Call `make` in the main process alone, and broadcast the text that it returns.

        Raises:
            SslcoreError: `make` raised it; every process then raises it.
        """
        if not self.several:
            return make()
        failure: SslcoreError | None = None
        kind, text = "", ""
        if self.is_main:
            try:
                text = make()
            except SslcoreError as error:
                failure, kind, text = error, type(error).__name__, str(error)
        kind, text = _broadcast(f"{kind}\n{text}").split("\n", 1)
        if failure is not None:
            raise failure
        if kind:
            # Every error but SettingsError takes its text as its only argument.
            known = getattr(errors, kind, SslcoreError)
            raise (SslcoreError if known is errors.SettingsError else known)(text)
        return text

    @contextmanager
    def local_main_first(self) -> Iterator[None]:
        """Run the body in the first process of each machine before the others of that machine.

        The other processes then find its download or cache. They wait however long it takes, and
        all processes leave together. After an error, the others meet the same error and raise it.

        Raises:
            LostProcessError: another process has stopped.
        """
        if not self.several:
            yield
            return
        # Ranks are counted machine by machine.
        with _turns(self.rank, self.count).after(self.rank - self.local_rank):
            yield

    def all_equal(self, number: int) -> bool:
        """Whether all processes have the same number."""
        if not self.several:
            return True
        here = torch.tensor([number, -number])
        dist.all_reduce(here, op=dist.ReduceOp.MAX, group=_control)
        return int(here[0]) == number and int(here[1]) == -number


#: Types that not every backend sends.
_AS_BYTES = (torch.bool, torch.int16, torch.uint16, torch.uint32, torch.uint64)

#: A single process.
ALONE = Processes()


class _Gather(torch.autograd.Function):
    """Gathers tensors of all processes; backward sums their gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, axis: int, rank: int, count: int) -> Tensor:
        ctx.axis, ctx.rank, ctx.size = axis, rank, tensor.shape[axis]
        return _gathered(tensor, axis, count)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        own = gradient.narrow(ctx.axis, ctx.rank * ctx.size, ctx.size)
        return own.contiguous(), None, None, None


def _broadcast(text: str) -> str:
    """Return the text of the main process; the texts of other processes are ignored."""
    encoded = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    length = torch.tensor([len(encoded)])
    dist.broadcast(length, 0, group=_control)
    if dist.get_rank():
        encoded = torch.empty(int(length), dtype=torch.uint8)
    dist.broadcast(encoded, 0, group=_control)
    return bytes(encoded.tolist()).decode()


def _gathered(tensor: Tensor, axis: int, count: int) -> Tensor:
    own = tensor.detach().contiguous()
    sent = own.view(torch.uint8) if own.dtype in _AS_BYTES else own
    gathered = [torch.empty_like(sent) for _ in range(count)]
    dist.all_gather(gathered, sent)
    return torch.cat(gathered, axis).view(own.dtype)


def _turns(rank: int, count: int) -> Turns:
    global _points
    _points += 1
    # torch has no public way to the store of a group that another program may have made.
    store = dist.distributed_c10d._get_default_store()  # noqa: SLF001
    return Turns(store, f"turns/{_points}", rank, count)


#: Number of points so far at which processes waited for each other, the same in all of them.
_points = 0
#: The group for flags and texts, which never go through an accelerator.
_control: dist.ProcessGroup | None = None


@contextmanager
def process_group(device: torch.device) -> Iterator[Processes]:
    """Join the process group of torchrun; without torchrun, yield a single process.

    Args:
        device: where this process computes.

    Raises:
        UsageError: the processes can't connect, or several can't train on this kind of device.
        LostProcessError: another process exited before training began.
    """
    global _control
    count = process_count()
    if count == 1:
        yield ALONE
        return
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"several processes can't train on {device}; start one, without torchrun")
    if device.type == "cuda":
        # Collectives without an explicit device use the current one.
        torch.cuda.set_device(device)
    own = not dist.is_initialized()
    if own:
        try:
            _initialise("nccl" if device.type == "cuda" else "gloo")
        except (ValueError, RuntimeError) as error:
            raise UsageError(
                f"the {count} processes of this run can't connect: {first_line(error)}; start them "
                "with torchrun, on machines that can reach each other"
            ) from error
    _control = cast("dist.ProcessGroup", dist.new_group(backend="gloo"))
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), local_rank())
    except RuntimeError as error:
        if is_lost_process_error(error):
            raise LostProcessError(
                "another process of this run exited before the first step; see its output for the "
                "cause"
            ) from error
        raise
    finally:
        _control = None
        if own:
            dist.destroy_process_group()


def _initialise(backend: str) -> None:
    store, rank, count = next(iter(dist.rendezvous("env://")))  # type: ignore[attr-defined]
    # The store may hold keys of earlier processes, which must not be read.
    store = dist.PrefixStore(  # type: ignore[attr-defined]
        rendezvous(store, rank, count), store
    )
    dist.init_process_group(backend, store=store, rank=rank, world_size=count)


def is_lost_process_error(error: BaseException) -> bool:
    """Whether an error means that another process exited."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError)
        and any(
            word in str(error)
            for word in ("closed by peer", "reset by peer", "gloo", "Gloo", "NCCL")
        )
    )
