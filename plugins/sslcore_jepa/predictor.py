"""The predictor of I-JEPA: tokens of the context to tokens of hidden blocks."""

from __future__ import annotations

from typing import Annotated, TypedDict

import torch
from annotated_types import Ge, Gt, MultipleOf
from torch import Tensor, nn
from torchvision.models.vision_transformer import EncoderBlock

from sslcore.patches import patch_side, sines_and_cosines


class TargetPredictions(TypedDict):
    """`target_predictions`: (V, B, M, P, F), tokens of P patches of each of M blocks."""

    target_predictions: Tensor


class BlockPredictor(nn.Module):
    """A narrow transformer that predicts the tokens of a block of patches (I-JEPA).

    Assran et al. 2023, section 3 and appendix A.1: the context's tokens get the predictor's width
    and their positions; a learned token with the position of each patch of a block asks for its
    token. Each block is predicted by itself. The encoder's class token is left out.

    The paper's predictor has 12 blocks of width 384 (6 for a ViT-B), as many heads as the encoder.

    Args:
        feature_dim: length of the encoder's tokens, F.
        image_size: side of the views, px.
        patch_size: side of a patch, px, as the encoder's; none means 2 for views of up to 16
            px, 4 up to 64, else 16.
        width: length of the predictor's tokens; a multiple of 4 and of `heads`.
        depth: blocks of attention and perceptron.
        heads: attention heads.
        mlp_ratio: hidden width of the perceptrons, as a multiple of `width`.

    Raises:
        ValueError: the patches don't fill the views, or the heads don't fill the width; when
            called, the shapes don't go together.
    """

    def __init__(
        self,
        feature_dim: int,
        image_size: int,
        *,
        patch_size: Annotated[int, Ge(1)] | None = None,
        width: Annotated[int, Ge(4), MultipleOf(4)] = 384,
        depth: Annotated[int, Ge(1)] = 6,
        heads: Annotated[int, Ge(1)] = 12,
        mlp_ratio: Annotated[float, Gt(0)] = 4.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(
                f"width: expected a multiple of 4 and of {heads} heads, got {width}; change either"
            )
        self.grid = image_size // patch_side(image_size, patch_size)
        self.embedding = nn.Linear(feature_dim, width)
        self.asking = nn.Parameter(torch.empty(width))
        hidden = max(1, round(mlp_ratio * width))
        self.blocks = nn.Sequential(
            *(EncoderBlock(heads, width, hidden, 0.0, 0.0) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.tokens = nn.Linear(width, feature_dim)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.asking, std=0.02)

    def forward(
        self, tokens: Tensor, visible: Tensor, target_positions: Tensor
    ) -> TargetPredictions:
        """Return `target_predictions` (V, B, M, P, F).

        Args:
            tokens: (V, B, 1 + K, F): that of the class, then those of the K visible patches in
                the order of their positions.
            visible: (V, B, K) int64, the positions of the visible patches.
            target_positions: (V, B, M, P) int64, the positions of the patches of each block.

        Raises:
            ValueError: the shapes don't go together.
        """
        lead = tokens.shape[:2]
        if tokens.dim() != 4 or visible.shape != (*lead, tokens.shape[2] - 1):
            raise ValueError(
                "tokens must be (V, B, 1 + K, F), and visible (V, B, K), got shapes "
                f"{tuple(tokens.shape)} and {tuple(visible.shape)}"
            )
        if target_positions.dim() != 4 or target_positions.shape[:2] != lead:
            raise ValueError(
                f"target_positions must be {tuple(lead)} by M by P, got shape "
                f"{tuple(target_positions.shape)}"
            )
        blocks, patches = target_positions.shape[2:]
        positions = sines_and_cosines(self.grid, self.grid, self.asking.shape[0], tokens.device)
        known = self.embedding(tokens[:, :, 1:])
        known = known + positions.to(known.dtype)[visible]
        asked = self.asking + positions[target_positions]
        context = known[:, :, None].expand(-1, -1, blocks, -1, -1)
        sequence = torch.cat((context, asked.to(known.dtype)), 3).flatten(0, 2)
        made = self.norm(self.blocks(sequence))[:, -patches:]
        found: Tensor = self.tokens(made).unflatten(0, (*lead, blocks))
        return {"target_predictions": found}


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
