"""Broken masked reconstruction losses; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sslcore.testing.losses.common_mutants import Loss, careful, common_mutants, exact
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper, Mutant

SIGNALS = ("reconstructions", "views", "targets", "mask")
Changed = Callable[[Tensor], Tensor]


def hidden_pixels(mask: Tensor, images: Tensor) -> Tensor:
    """Return a mask (V, B, L) of patches as one of pixels, (V, B, C, h, w)."""
    grid = round(mask.shape[-1] ** 0.5)
    side = images.shape[-1] // grid
    pixels = mask.unflatten(-1, (grid, grid))
    pixels = pixels.repeat_interleave(side, -2).repeat_interleave(side, -1)
    result: Tensor = pixels[:, :, None].expand(images.shape)
    return result


def _refuse(inputs: Inputs) -> None:
    found, mask = inputs["reconstructions"], inputs["mask"]
    if found.numel() == 0 or found.shape != inputs["targets"].shape:
        raise ValueError("reconstructions and targets must have one shape, and not be empty")
    grid = round(mask.shape[-1] ** 0.5)
    if mask.dim() != 3 or mask.shape[:2] != found.shape[:2] or grid**2 != mask.shape[-1]:
        raise ValueError("the mask must have an entry for each patch of each image")


def _with(function: Callable[[Inputs], Tensor]) -> Loss:
    return careful(lambda inputs, hyper: function(inputs), _refuse)


def _of(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Loss:
    """Return a loss of reconstructions, targets and the hidden pixels, all (V, B, C, h, w)."""

    def loss(inputs: Inputs) -> Tensor:
        x, y = inputs["reconstructions"], inputs["targets"]
        return function(x, y, hidden_pixels(inputs["mask"], x).to(x.dtype))

    return _with(loss)


def _masked_by(changed: Changed) -> Loss:
    """Return the loss under another mask of patches."""

    def loss(inputs: Inputs) -> Tensor:
        x, y = inputs["reconstructions"], inputs["targets"]
        return _mean(x, y, hidden_pixels(changed(inputs["mask"]), x).to(x.dtype))

    return _with(loss)


def _mean(x: Tensor, y: Tensor, m: Tensor) -> Tensor:
    return ((x - y).square() * m).sum() / m.sum().clamp_min(1)


def _grid_transposed(mask: Tensor) -> Tensor:
    grid = round(mask.shape[-1] ** 0.5)
    result: Tensor = mask.unflatten(-1, (grid, grid)).transpose(-1, -2).flatten(-2)
    return result


def _last_patch_never(mask: Tensor) -> Tensor:
    return mask & (torch.arange(mask.shape[-1]) < mask.shape[-1] - 1)


def _over_hidden_patches(inputs: Inputs) -> Tensor:
    x, y, mask = inputs["reconstructions"], inputs["targets"], inputs["mask"]
    error = ((x - y).square() * hidden_pixels(mask, x)).sum()
    return error / mask.sum().clamp_min(1)


def _targets_standardised(inputs: Inputs) -> Tensor:
    """Normalises targets as MAE's option `norm_pix_loss` does, which its equation does not."""
    x, y, mask = inputs["reconstructions"], inputs["targets"], inputs["mask"]
    side = x.shape[-1] // round(mask.shape[-1] ** 0.5)
    cut = y.unfold(-2, side, side).unfold(-2, side, side)
    mean = cut.mean((2, -1, -2), keepdim=True).expand_as(cut)
    mean = mean[..., 0, 0].repeat_interleave(side, -2).repeat_interleave(side, -1)
    return _mean(x, y - mean, hidden_pixels(mask, x).to(x.dtype))


def _by_image(x: Tensor, y: Tensor, m: Tensor) -> Tensor:
    """Return the mean of each image, ignoring that an image may have no hidden patch."""
    dims = (2, 3, 4)
    return (((x - y).square() * m).sum(dims) / m.sum(dims)).mean()


def _border_shrunk(x: Tensor, y: Tensor, m: Tensor) -> Tensor:
    inner = m * m.roll(1, -1) if m.shape[-1] > 1 else m
    return ((x - y).square() * inner).sum() / m.sum().clamp_min(1)


def _visible_decayed(x: Tensor, y: Tensor, m: Tensor) -> Tensor:
    return _mean(x, y, m) + 1e-3 * ((x - y).square() * (1 - m)).mean()


def _in_the_type_given(inputs: Inputs, hyper: Hyper) -> Tensor:
    _refuse(inputs)
    x, y = inputs["reconstructions"], inputs["targets"]
    hidden = hidden_pixels(inputs["mask"], x)
    return ((x - y) * (x - y) * hidden).sum() / hidden.sum().clamp_min(1)


def _broadcasting(hyper: Hyper) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def loss(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        error = (exact(x) - exact(y)).square()
        hidden = mask.expand_as(error).to(error.dtype)
        if not error.numel():
            raise ValueError("nothing to compare")
        return ((error * hidden).sum() / hidden.sum().clamp_min(1)).to(x.dtype)

    return loss


_CORRECT = _of(_mean)
#: The correct loss; every variant but the plain ones adds a fault to it.
CONTROL = Mutant("no-fault", _CORRECT)

MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_CORRECT, SIGNALS, "reconstructions"),
    Mutant("mask-inverted", _masked_by(lambda mask: ~mask)),
    Mutant("mask-ignored", _masked_by(torch.ones_like)),
    Mutant("patches-in-columns", _masked_by(_grid_transposed)),
    Mutant("patches-in-reverse", _masked_by(lambda mask: mask.flip(-1))),
    Mutant("patches-off-by-one", _masked_by(lambda mask: mask.roll(1, -1))),
    Mutant("mask-of-the-next-image", _masked_by(lambda mask: mask.roll(1, 1))),
    Mutant("mask-of-the-first-image", _masked_by(lambda mask: mask[:, :1].expand_as(mask))),
    Mutant("mask-of-the-first-view", _masked_by(lambda mask: mask[:1].expand_as(mask))),
    Mutant("mask-of-any-image", _masked_by(lambda mask: mask.any(1, True).expand_as(mask))),
    Mutant("last-patch-never-hidden", _masked_by(_last_patch_never)),
    Mutant(
        "first-patch-always-hidden",
        _masked_by(lambda mask: mask | (torch.arange(mask.shape[-1]) == 0)),
    ),
    Mutant("mean-over-all-pixels", _of(lambda x, y, m: ((x - y).square() * m).mean())),
    Mutant("sum-for-mean", _of(lambda x, y, m: ((x - y).square() * m).sum())),
    Mutant(
        "mean-over-images-of-the-sum",
        _of(lambda x, y, m: ((x - y).square() * m).sum((2, 3, 4)).mean()),
    ),
    Mutant("divided-by-hidden-patches", _with(_over_hidden_patches)),
    Mutant("channels-not-counted", _of(lambda x, y, m: x.shape[2] * _mean(x, y, m))),
    Mutant(
        "divided-by-the-visible",
        _of(lambda x, y, m: ((x - y).square() * m).sum() / (1 - m).sum().clamp_min(1)),
    ),
    Mutant("half-of-it", _of(lambda x, y, m: _mean(x, y, m) / 2)),
    Mutant(
        "epsilon-in-the-count",
        _of(lambda x, y, m: ((x - y).square() * m).sum() / (m.sum() + 1e-3)),
    ),
    Mutant(
        "nothing-hidden-not-a-number", _of(lambda x, y, m: ((x - y).square() * m).sum() / m.sum())
    ),
    Mutant("images-with-nothing-hidden-not-a-number", _of(_by_image)),
    Mutant("visible-count-a-little", _of(_visible_decayed)),
    Mutant(
        "visible-detached",
        _of(lambda x, y, m: (x * m + (x * (1 - m)).detach() - y).square().mean()),
    ),
    Mutant(
        "visible-compared-with-zero", _of(lambda x, y, m: _mean(x * m, y * m, torch.ones_like(m)))
    ),
    Mutant(
        "visible-in-the-gradient",
        _of(lambda x, y, m: _mean(x, y, m) + 0.01 * ((x - x.detach()) * (1 - m)).mean()),
    ),
    Mutant("targets-masked-only", _of(lambda x, y, m: (x - y * m).square().mean())),
    Mutant("edge-of-patches-left-out", _of(_border_shrunk)),
    Mutant("absolute-error", _of(lambda x, y, m: ((x - y).abs() * m).sum() / m.sum().clamp_min(1))),
    Mutant("fourth-power", _of(lambda x, y, m: ((x - y).pow(4) * m).sum() / m.sum().clamp_min(1))),
    Mutant("root-of-it", _of(lambda x, y, m: (_mean(x, y, m) + 1e-12).sqrt())),
    Mutant(
        "square-of-the-mean",
        _of(lambda x, y, m: (((x - y) * m).sum() / m.sum().clamp_min(1)).square()),
    ),
    Mutant("mean-removed-from-targets", _with(_targets_standardised)),
    Mutant("targets-of-the-next-image", _of(lambda x, y, m: _mean(x, y.roll(1, 1), m))),
    Mutant("targets-mirrored", _of(lambda x, y, m: _mean(x, y.flip(-1), m))),
    Mutant("targets-missing", _of(lambda x, y, m: _mean(x, torch.zeros_like(y), m))),
    Mutant(
        "relative-to-targets", _of(lambda x, y, m: _mean(x / (1 + y.abs()), y / (1 + y.abs()), m))
    ),
    Mutant("reconstructions-clamped", _of(lambda x, y, m: _mean(x.clamp(-2, 2), y, m))),
    Mutant("reconstructions-detached", _of(lambda x, y, m: _mean(x.detach(), y, m))),
    Mutant(
        "one-factor-detached",
        _of(lambda x, y, m: (((x - y) * (x - y).detach()) * m).sum() / m.sum().clamp_min(1)),
    ),
    Mutant(
        "views-for-targets",
        _with(
            lambda i: _mean(
                i["reconstructions"],
                i["views"],
                hidden_pixels(i["mask"], i["views"]).to(i["views"].dtype),
            )
        ),
    ),
    Mutant("squared-in-half", _in_the_type_given),
    Mutant("broadcasts", plain=_broadcasting),
)
