"""The symmetric cross-entropy of CLIP, with a temperature that is learned."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from sslcore.contrastive import contrast, positions
from sslcore.functional import unit_rows


class CLIP(nn.Module):
    """Cross-entropy of finding an image's caption in the batch, and a caption's image.

    CLIP (Radford et al. 2021), figure 3: with s the cosines of B images and B texts, and a
    temperature τ that is learned as log(1/τ), it is the mean of the cross-entropies of the rows and
    of the columns of s/τ, whose targets are the diagonal. Of several views, it is the mean. After
    each step, 1/τ is limited, as in section 2.5.

    Args:
        temperature: τ at the beginning, > 0.
        largest_scale: the largest 1/τ.
        learned: whether τ is learned.

    Raises:
        ValueError: (when called) the shapes are not (V, B, D) and (1, B, D), or B < 2.
    """

    def __init__(
        self,
        *,
        temperature: Annotated[float, Gt(0)] = 0.07,
        largest_scale: Annotated[float, Ge(1)] = 100.0,
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.largest = math.log(largest_scale)
        scale = torch.tensor(-math.log(temperature))
        self.log_scale = nn.Parameter(scale, requires_grad=learned)

    def forward(
        self, projections: Tensor, text_projections: Tensor, rows: slice | None = None
    ) -> Tensor:
        """Compare `projections` (V, B, D) with `text_projections` (1, B, D), as a scalar.

        Given `rows`, only these images, and only these texts, are queries, of all others.
        """
        _check(projections, text_projections)
        kept = torch.promote_types(projections.dtype, text_projections.dtype)
        exact = torch.promote_types(kept, torch.float32)
        scale = self.log_scale.to(exact).exp()
        texts = unit_rows(text_projections[0].to(exact))
        here = positions(rows, len(texts))
        own = torch.arange(here.start, here.stop, device=texts.device)
        losses = [
            contrast(asking[here] * scale, asked, own, 1.0)
            for images in unit_rows(projections.to(exact))
            for asking, asked in ((images, texts), (texts, images))
        ]
        return torch.stack(losses).mean().to(kept)

    def after_step(self, progress: float) -> None:
        """Limit 1/τ."""
        self.log_scale.clamp_(max=self.largest)


def _check(images: Tensor, texts: Tensor) -> None:
    shapes = f"got {tuple(images.shape)} and {tuple(texts.shape)}"
    if images.dim() != 3 or texts.dim() != 3 or len(texts) != 1 or not images.numel():
        raise ValueError(
            f"projections and text_projections must be of shapes (V, B, D) and (1, B, D), {shapes}"
        )
    if images.shape[1:] != texts.shape[1:]:
        raise ValueError(f"images and texts must be as many, of one length, {shapes}")
    if images.shape[1] < 2:
        raise ValueError("the other captions of the batch are the negatives; give 2 images or more")
