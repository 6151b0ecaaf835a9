"""The modules behind `mae_plugin`."""

from __future__ import annotations

from typing import Annotated, TypedDict

import torch
from annotated_types import Ge, Gt, Lt, MultipleOf
from torch import Tensor, nn

from sslcore import BatchRandom

PATCH = 4


def patchify(images: Tensor) -> Tensor:
    """(..., C, H, W) to (..., L, C·16)."""
    cut = images.unfold(-2, PATCH, PATCH).unfold(-2, PATCH, PATCH)
    return cut.movedim(-5, -3).flatten(-3).flatten(-3, -2)


class MaskedViews(TypedDict):
    views: Tensor
    mask: Tensor


class PatchMask(nn.Module):
    def __init__(self, image_size: int, *, ratio: Annotated[float, Gt(0), Lt(1)] = 0.5) -> None:
        super().__init__()
        self.patches = (image_size // PATCH) ** 2
        self.hidden = round(ratio * self.patches)

    def forward(self, images: Tensor, random: BatchRandom | None = None) -> MaskedViews:
        views = ((images - 0.5) / 0.5).unsqueeze(0)
        if not self.training or random is None:
            mask = torch.zeros(1, len(images), self.patches, dtype=torch.bool, device=images.device)
        else:
            mask = (random.permutations(self.patches) < self.hidden).unsqueeze(0)
        return {"views": views, "mask": mask}


class Tokens(TypedDict):
    features: Tensor
    tokens: Tensor


class TinyViT(nn.Module):
    def __init__(
        self, image_size: int, channels: int, *, width: Annotated[int, Ge(8), MultipleOf(4)] = 32
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(channels * PATCH**2, width)
        self.position = nn.Parameter(torch.randn((image_size // PATCH) ** 2, width) * 0.02)
        self.block = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True)
        self.seen = 0

    def forward(self, views: Tensor, mask: Tensor) -> Tokens:
        tokens = self.embed(patchify(views)) + self.position
        visible = int((~mask[0]).sum())
        # A stable sort puts the visible patches first, in their order.
        order = mask.int().argsort(dim=1, stable=True)[:, :visible]
        kept = tokens.gather(1, order[..., None].expand(-1, -1, tokens.shape[-1]))
        self.seen = kept.shape[1]
        kept = self.block(kept)
        return {"features": kept.mean(1), "tokens": kept}


class PatchPredictions(TypedDict):
    patch_predictions: Tensor


class PatchDecoder(nn.Module):
    def __init__(self, feature_dim: int, image_size: int, channels: int) -> None:
        super().__init__()
        patches = (image_size // PATCH) ** 2
        self.hidden = nn.Parameter(torch.zeros(feature_dim))
        self.position = nn.Parameter(torch.randn(patches, feature_dim) * 0.02)
        self.block = nn.TransformerEncoderLayer(feature_dim, 4, 64, 0.0, batch_first=True)
        self.out = nn.Linear(feature_dim, channels * PATCH**2)

    def forward(self, tokens: Tensor, mask: Tensor) -> PatchPredictions:
        lead = tokens.shape[:2]
        tokens, mask = tokens.flatten(0, 1), mask.flatten(0, 1)
        rows, patches, width = len(tokens), mask.shape[1], tokens.shape[-1]
        order = mask.int().argsort(dim=1, stable=True)[:, : tokens.shape[1]]
        canvas = self.hidden.to(tokens.dtype).expand(rows, patches, width)
        canvas = canvas.scatter(1, order[..., None].expand_as(tokens), tokens)
        made = self.out(self.block(canvas + self.position))
        return {"patch_predictions": made.unflatten(0, lead)}


class MaskedMSE(nn.Module):
    def forward(self, patch_predictions: Tensor, views: Tensor, mask: Tensor) -> Tensor:
        error = (patch_predictions - patchify(views)).square().mean(-1)
        return (error * mask).sum() / mask.sum().clamp_min(1)
