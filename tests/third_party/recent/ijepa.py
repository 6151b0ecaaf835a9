"""I-JEPA (Assran et al. 2023) in one file: predict a teacher's tokens of hidden blocks."""

from typing import Annotated, NotRequired, TypedDict

import torch
from annotated_types import Ge, MultipleOf
from torch import Tensor, nn
from torch.nn import functional as F

import sslcore
from sslcore.patches import patch_side, sines_and_cosines


@sslcore.hookimpl
def sslcore_augmentations():
    yield sslcore.Augmentation(
        name="recent-ijepa", summary="Blocks of patches to predict", build="ijepa:Blocks"
    )


@sslcore.hookimpl
def sslcore_heads():
    yield sslcore.Head(
        name="recent-ijepa", summary="Predicts the tokens of blocks", build="ijepa:Predictor"
    )


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="recent-ijepa",
        summary="Distance of predicted tokens from a teacher's",
        reference="Assran et al. 2023, arXiv:2301.08243, equation (1)",
        build="ijepa:Distance",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="recent-ijepa",
        summary="Predict a teacher's tokens of hidden blocks",
        augmentation="recent-ijepa",
        encoder="vit",
        head="recent-ijepa",
        loss="recent-ijepa",
        teacher=sslcore.Teacher(
            momentum=0.996, final_momentum=1.0, head=False, without=("visible",)
        ),
        settings={
            "encoder": {"width": 32, "depth": 2, "heads": 2, "pooling": "mean"},
            "optimizer": {"name": "AdamW", "lr": 1e-3},
        },
    )


class ViewsAndBlocks(TypedDict):
    """`visible`: (V, B, K); `blocks`: (V, B, M, P), positions of the patches of M blocks."""

    views: Tensor
    visible: Tensor
    blocks: NotRequired[Tensor]


class Blocks(nn.Module):
    def __init__(
        self,
        image_size: int,
        *,
        targets: Annotated[int, Ge(1)] = 4,
        side: Annotated[int, Ge(1)] = 3,
        mean: float = 0.5,
        std: float = 0.25,
    ) -> None:
        super().__init__()
        self.grid = image_size // patch_side(image_size, None)
        self.targets, self.side, self.mean, self.std = targets, side, mean, std

    def forward(self, images: Tensor, random: sslcore.BatchRandom | None = None) -> ViewsAndBlocks:
        views = ((images - self.mean) / self.std)[None]
        every = torch.arange(self.grid**2, device=images.device)
        if not self.training:
            return {"views": views, "visible": every.expand(1, len(images), -1)}
        corners = random.integers(0, self.grid - self.side + 1, self.targets, 2)
        cells = torch.arange(self.side, device=images.device)
        rows, columns = (corners[..., axis, None] + cells for axis in (0, 1))
        blocks = (rows[..., :, None] * self.grid + columns[..., None, :]).flatten(-2)
        hidden = torch.zeros(len(images), self.grid**2, device=images.device)
        hidden.scatter_(1, blocks.flatten(1), 1.0)
        # As many patches for every image: those that are left where no two blocks overlap.
        count = self.grid**2 - self.targets * self.side**2
        order = (hidden + random.uniform(self.grid**2)).argsort(1)
        visible = order[:, :count].sort(1).values
        return {"views": views, "visible": visible[None], "blocks": blocks[None]}


class PredictedTokens(TypedDict):
    """`predicted_tokens`: (V, B, M, P, F)."""

    predicted_tokens: Tensor


class Predictor(nn.Module):
    def __init__(
        self,
        feature_dim: int,
        image_size: int,
        *,
        width: Annotated[int, Ge(4), MultipleOf(4)] = 32,
    ) -> None:
        super().__init__()
        self.grid = image_size // patch_side(image_size, None)
        self.narrow, self.wide = nn.Linear(feature_dim, width), nn.Linear(width, feature_dim)
        self.asked = nn.Parameter(torch.zeros(width))
        self.layer = nn.TransformerEncoderLayer(
            width, 2, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )

    def forward(self, tokens: Tensor, visible: Tensor, blocks: Tensor) -> PredictedTokens:
        places = sines_and_cosines(self.grid, self.grid, len(self.asked), tokens.device)
        known = self.narrow(tokens[:, :, 1:]) + places[visible]
        asked = self.asked + places[blocks]
        known = known[:, :, None].expand(-1, -1, asked.shape[2], -1, -1)
        made = self.layer(torch.cat((known, asked), 3).flatten(0, 2))[:, -asked.shape[3] :]
        return {"predicted_tokens": self.wide(made).unflatten(0, asked.shape[:3])}


class Distance(nn.Module):
    def forward(self, predicted_tokens: Tensor, teacher_tokens: Tensor, blocks: Tensor) -> Tensor:
        tokens = F.layer_norm(teacher_tokens[:, :, 1:], teacher_tokens.shape[-1:])
        places = blocks.flatten(2)[..., None].expand(-1, -1, -1, tokens.shape[-1])
        wanted = tokens.gather(2, places).unflatten(2, blocks.shape[2:])
        return F.smooth_l1_loss(predicted_tokens, wanted)
