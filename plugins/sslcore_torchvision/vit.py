"""Vision Transformer of torchvision's blocks, for views of any size, whole or partly hidden."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

import torch
from annotated_types import Ge, Gt, Lt, MultipleOf
from torch import Tensor, nn
from torchvision.models.vision_transformer import EncoderBlock

from sslcore.patches import cut, patch_side, sines_and_cosines


class FeaturesAndTokens(TypedDict):
    """The outputs of a transformer.

    `features` is (N, F); `tokens` (N, 1 + K, F), the class token first, then those of the K visible
    patches by position; `feature_maps` (N, F, h', w') of views without a mask.
    """

    features: Tensor
    tokens: Tensor
    feature_maps: NotRequired[Tensor]


class VisionTransformer(nn.Module):
    """Vision Transformer (Dosovitskiy et al. 2021, section 3.1) up to its last normalisation.

    A view (C, h, w) is cut into L = h'·w' patches, row by row. Each patch becomes a token plus an
    embedding of its position: fixed sines and cosines of row and column (He et al. 2022, appendix
    A.1), which are defined for any grid. So one encoder takes views of any size whose sides are
    multiples of `patch_size`.

    With `mask` or `visible`, hidden patches are dropped before the first layer (He et al. 2022,
    section 3), so they do not affect the outputs and take no time.

    The heads are as wide as those of DeiT-Ti (Touvron et al. 2021, table 1), which has 12 blocks;
    the default here is 6, for training on a CPU. Weights start as in He et al. 2022, appendix
    A.1 (Xavier's uniform for linear layers, biases at zero), except the patch projection, which
    starts as in torchvision, so that tokens vary as much as pixels.

    Args:
        image_size: side of the views, px.
        channels: channels of the views.
        patch_size: side of a patch, px; none means 2 for views of up to 16 px, 4 up to 64, else 16.
        width: length of a token, F; a multiple of 4 and of `heads`.
        depth: number of transformer blocks.
        heads: attention heads.
        mlp_ratio: hidden width of the perceptrons, as a multiple of `width`.
        pooling: the features: the class token, or the mean of the patch tokens.
        dropout: fraction of the activations dropped after each layer in training.

    Raises:
        ValueError: `patch_size` does not divide the side of the views, or `heads` the width; when
            called, the shape of the views or of the mask is wrong.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        patch_size: Annotated[int, Ge(1)] | None = None,
        width: Annotated[int, Ge(4), MultipleOf(4)] = 192,
        depth: Annotated[int, Ge(1)] = 6,
        heads: Annotated[int, Ge(1)] = 3,
        mlp_ratio: Annotated[float, Gt(0)] = 4.0,
        pooling: Literal["class", "mean"] = "class",
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        patch_size = patch_side(image_size, patch_size)
        if width % 4:
            raise ValueError(f"width: expected a multiple of 4, got {width}")
        if width % heads:
            raise ValueError(
                f"heads: {heads} don't share a width of {width} evenly; those that do are "
                f"{_divisors(width)}"
            )
        self.patch_size, self.channels, self.pooling = patch_size, channels, pooling
        self.embedding = nn.Linear(channels * patch_size**2, width)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.dropout = nn.Dropout(dropout)
        hidden = max(1, round(mlp_ratio * width))
        self.blocks = nn.Sequential(
            *(EncoderBlock(heads, width, hidden, dropout, dropout) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.apply(_initialise)
        # With Xavier's, a small patch's few pixels would be too weak against its position
        # embedding.
        nn.init.trunc_normal_(self.embedding.weight, std=(channels * patch_size**2) ** -0.5)
        nn.init.trunc_normal_(self.class_token, std=0.02)

    def forward(
        self, views: Tensor, mask: Tensor | None = None, visible: Tensor | None = None
    ) -> FeaturesAndTokens:
        """Encode views, or their visible patches.

        Args:
            views: (N, C, h, w).
            mask: (N, L) bool, True where a patch is hidden, equally many in each view. Without
                `visible`, the patches are counted, so the host waits for the device.
            visible: (N, K), positions of the visible patches; equivalent to `mask`.

        Raises:
            ValueError: a shape is wrong, or views differ in their number of hidden patches.
        """
        rows, columns = self._grid(views)
        patches = cut(views, self.patch_size)
        positions = sines_and_cosines(rows, columns, self.class_token.shape[-1], views.device)
        if mask is not None:
            _check_mask(mask, len(views), rows, columns)
            if visible is None:
                visible = _visible(mask)
        if visible is None:
            kept, added = patches, positions
        else:
            if visible.dim() != 2 or len(visible) != len(views) or not visible.shape[1]:
                raise ValueError(
                    f"visible must be ({len(views)}, K), the positions of K ≥ 1 visible patches "
                    f"of each view, got shape {tuple(visible.shape)}"
                )
            kept = patches.gather(1, visible[..., None].expand(-1, -1, patches.shape[-1]))
            added = positions[visible]
        tokens = self.embedding(kept) + added
        # `shape` rather than `len`, which a traced graph would keep as a constant.
        tokens = torch.cat((self.class_token.expand(tokens.shape[0], -1, -1), tokens), 1)
        tokens = self.norm(self.blocks(self.dropout(tokens)))
        features = tokens[:, 0] if self.pooling == "class" else tokens[:, 1:].mean(1)
        made: FeaturesAndTokens = {"features": features, "tokens": tokens}
        if visible is None:
            made["feature_maps"] = tokens[:, 1:].mT.unflatten(-1, (rows, columns))
        return made

    def _grid(self, views: Tensor) -> tuple[int, int]:
        """Return the numbers of rows and columns of patches in views."""
        side = self.patch_size
        if views.dim() != 4 or views.shape[1] != self.channels:
            raise ValueError(
                f"views must be (N, {self.channels}, h, w), as those that the encoder was made "
                f"for, got shape {tuple(views.shape)}"
            )
        height, width = views.shape[-2:]
        if height % side or width % side or not height * width:
            raise ValueError(
                f"views of {height} × {width} px are not filled by patches of {side} px; make "
                f"their sides multiples of {side}"
            )
        return height // side, width // side


def _check_mask(mask: Tensor, views: int, rows: int, columns: int) -> None:
    if mask.shape != (views, rows * columns) or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be bool of shape {(views, rows * columns)}, an entry for each of {rows} × "
            f"{columns} patches of each view, got {mask.dtype} of shape {tuple(mask.shape)}; give "
            "encoder and augmentation one patch_size"
        )


def _visible(mask: Tensor) -> Tensor:
    """Return the positions of the visible patches (N, K), ascending."""
    fewest, most = torch.stack(torch.aminmax((~mask).sum(1))).tolist()
    if fewest != most or not fewest:
        raise ValueError(
            f"mask leaves from {fewest} to {most} patches of a view visible; leave as many of "
            "each, and at least one"
        )
    # A stable sort puts the visible patches first, in order.
    return mask.to(torch.uint8).argsort(dim=1, stable=True)[:, :most]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def _divisors(number: int) -> str:
    return ", ".join(str(each) for each in range(1, number + 1) if number % each == 0)
