"""Batch norm with statistics over all processes that share a batch.

`torch.nn.SyncBatchNorm` replaces modules and runs on accelerators only. This version replaces the
function that every batch norm calls. It therefore works for any module on any device, and keeps the
names of weights in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class SharedStatistics(TorchFunctionMode):
    """A context in which batch norm computes its statistics over all processes.

    Every process must pass inputs of the same shape.
    """

    def __torch_function__(
        self,
        function: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch; `shared_batch_norm` replaces batch norm."""
        run = shared_batch_norm if function is F.batch_norm else function
        return run(*args, **(kwargs or {}))


def shared_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise as `torch.nn.functional.batch_norm` does, with statistics over all processes.

    Args:
        input: (N, C, *), the same shape in every process.
        running_mean: (C,), moved in place towards the mean over all processes, or None.
        running_var: (C,), moved in place towards the unbiased variance over all processes, or None.
        weight: (C,), the scale, or None.
        bias: (C,), the shift, or None.
        training: whether to normalise by the statistics of the batch; if not, by the running ones.
        momentum: how far the running statistics move, in [0, 1].
        eps: added to the variance, > 0.

    Returns:
        Tensor of the shape and type of `input`.
    """
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    processes = dist.get_world_size()
    with torch.no_grad():
        axes = [axis for axis in range(input.dim()) if axis != 1]
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        var, mean = torch.var_mean(wide, axes, correction=0)
        own = torch.stack((mean, var))
        gathered = [torch.empty_like(own) for _ in range(processes)]
        dist.all_gather(gathered, own)
        means, variances = torch.stack(gathered).unbind(1)
        mean = means.mean(0)
        # Law of total variance, for shares of equal size.
        var = variances.mean(0) + (means - mean).square_().mean(0)
        count = input.numel() // input.shape[1] * processes
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            unbiased = var * (count / max(1, count - 1))
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    normalised: Tensor = _Normalised.apply(input, weight, bias, mean, var, eps, count)
    return normalised


class _Normalised(torch.autograd.Function):
    """Normalises by statistics that depend on the inputs of all processes."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        var: Tensor,
        eps: float,
        count: int,
    ) -> Tensor:
        ctx.save_for_backward(input, weight, mean, var)
        ctx.eps, ctx.count, ctx.has_bias = eps, count, bias is not None
        return F.batch_norm(input, mean, var, weight, bias, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, weight, mean, var = ctx.saved_tensors
        shape = (1, -1) + (1,) * (input.dim() - 2)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        wide, gradient_wide = input.to(mean.dtype), gradient.to(mean.dtype)
        scale = (var + ctx.eps).rsqrt()
        unit = (wide - mean.view(shape)).mul_(scale.view(shape))
        sums = torch.stack((gradient_wide.sum(axes), (gradient_wide * unit).sum(axes)))
        to_weight = None if weight is None else sums[1].to(weight.dtype)
        to_bias = sums[0].to(mean.dtype) if ctx.has_bias else None
        total = sums.clone()
        dist.all_reduce(total)
        total /= ctx.count
        # Shift and scale of the input do not change the output, so the gradient has no such part.
        to_input = gradient_wide - total[0].view(shape) - unit.mul_(total[1].view(shape))
        to_input.mul_((scale if weight is None else scale * weight.to(scale.dtype)).view(shape))
        return to_input.to(input.dtype), to_weight, to_bias, None, None, None, None


def batch_norm_layers(module: nn.Module) -> int:
    """Return the number of batch norm layers of a module."""
    # torch has no public base class of its batch norms.
    base = nn.modules.batchnorm._BatchNorm
    return sum(isinstance(layer, base) for layer in module.modules())
