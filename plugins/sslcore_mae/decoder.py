"""The decoder of MAE: tokens of visible patches to whole images."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt, MultipleOf
from torch import Tensor, nn
from torchvision.models.vision_transformer import EncoderBlock

from sslcore.patches import joined, patch_side, sines_and_cosines
from sslcore.signals import Reconstructions


class PatchDecoder(nn.Module):
    """A transformer that fills in the hidden patches (He et al. 2022, section 3).

    Tokens get the decoder's width; one learned token stands for every hidden patch. To all is
    added where they stand (fixed sines and cosines, appendix A.1), and after the last block each
    is a linear function away from the pixels of its patch.

    The paper's decoder has 8 blocks of width 512 with 16 heads, for an encoder of width 1024
    (section 4.1 and table 1). The defaults are for small images and encoders of width 128 to 192:
    half as wide, and one block, which table 1a finds to do nearly as well after fine-tuning.

    Args:
        feature_dim: length of the encoder's tokens.
        image_size: side of the views, px.
        channels: channels of the views.
        patch_size: side of a patch, px, as the encoder's; none means 2 for views of up to 16
            px, 4 up to 64, else 16.
        width: length of the decoder's tokens; a multiple of 4 and of `heads`.
        depth: blocks of attention and perceptron.
        heads: parts of a token that attend each by itself.
        mlp_ratio: hidden width of the perceptrons, in units of `width`.

    Raises:
        ValueError: the patches don't fill the views, or the heads don't fill the width; when
            called, tokens and mask have shapes that don't go together.
    """

    def __init__(
        self,
        feature_dim: int,
        image_size: int,
        channels: int,
        *,
        patch_size: Annotated[int, Ge(1)] | None = None,
        width: Annotated[int, Ge(4), MultipleOf(4)] = 64,
        depth: Annotated[int, Ge(1)] = 1,
        heads: Annotated[int, Ge(1)] = 4,
        mlp_ratio: Annotated[float, Gt(0)] = 4.0,
    ) -> None:
        super().__init__()
        if width % 4 or width % heads:
            raise ValueError(
                f"width: expected a multiple of 4 and of {heads} heads, got {width}; change either"
            )
        self.channels, self.patch_size = channels, patch_side(image_size, patch_size)
        self.patches = (image_size // self.patch_size) ** 2
        self.embedding = nn.Linear(feature_dim, width)
        self.hidden_token = nn.Parameter(torch.empty(width))
        hidden = max(1, round(mlp_ratio * width))
        self.blocks = nn.Sequential(
            *(EncoderBlock(heads, width, hidden, 0.0, 0.0) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pixels = nn.Linear(width, channels * self.patch_size**2)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.hidden_token, std=0.02)

    def forward(self, tokens: Tensor, mask: Tensor) -> Reconstructions:
        """Return `reconstructions` (V, B, C, h, h), of visible patches as well.

        Args:
            tokens: (V, B, 1 + K, F): that of the class, then those of the K visible patches in
                the order of their positions.
            mask: (V, B, L) bool, True where a patch is hidden.

        Raises:
            ValueError: the shapes don't go together.
        """
        self._check(tokens, mask)
        lead = tokens.shape[:2]
        known = self.embedding(tokens.flatten(0, 1))
        # A stable sort puts the visible patches first, in their order.
        order = mask.flatten(0, 1).to(torch.uint8).argsort(dim=1, stable=True)
        places = order[:, : known.shape[1] - 1, None].expand(-1, -1, known.shape[-1])
        canvas = self.hidden_token.to(known.dtype).expand(len(known), self.patches, -1)
        canvas = canvas.scatter(1, places, known[:, 1:])
        grid = round(self.patches**0.5)
        canvas = canvas + sines_and_cosines(grid, grid, canvas.shape[-1], canvas.device)
        made = self.norm(self.blocks(torch.cat((known[:, :1].to(canvas.dtype), canvas), 1)))
        pixels = self.pixels(made[:, 1:])
        return {
            "reconstructions": joined(pixels, self.channels, self.patch_size).unflatten(0, lead)
        }

    def _check(self, tokens: Tensor, mask: Tensor) -> None:
        if mask.dim() != 3 or mask.shape[-1] != self.patches or mask.dtype != torch.bool:
            raise ValueError(
                f"mask must be (V, B, {self.patches}) bool, an entry for each patch of "
                f"{self.patch_size} px, got {mask.dtype} of shape {tuple(mask.shape)}; give "
                "augmentation, encoder and head one patch_size"
            )
        most = self.patches + 1
        if tokens.dim() != 4 or tokens.shape[:2] != mask.shape[:2] or tokens.shape[2] > most:
            raise ValueError(
                f"tokens must be {tuple(mask.shape[:2])} by 1 + K by F, with K of "
                f"{self.patches} patches visible, got shape {tuple(tokens.shape)}"
            )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
