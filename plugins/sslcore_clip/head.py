"""The two towers' ends: features and captions in one space."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

import torch
from annotated_types import Ge
from torch import Tensor, nn

from sslcore.functional import unit_rows
from sslcore_clip.tokenizer import PADDING, VOCABULARY, tokens_of


class ImagesAndTexts(TypedDict):
    """Unit projections of images and texts, and what the images say about the prompts.

    `projections`: (V, B, D); `text_projections`: (1, B, D), where there are captions; `logits`:
    (V, B, K), the cosine with each prompt, in eval mode.
    """

    projections: Tensor
    text_projections: NotRequired[Tensor]
    logits: NotRequired[Tensor]


class ImageText(nn.Module):
    """Linear projection of features, and a transformer with a linear projection for captions.

    CLIP (Radford et al. 2021), section 2.4: the text is read with causal attention; its features
    are those at the last token, after a layer norm. Both projections have no bias.

    Args:
        feature_dim: length of a feature vector, F.
        dim: length of a projection, D.
        width: width of the text transformer.
        depth: layers of the text transformer.
        heads: attention heads of each layer; the width is a multiple of it.
        context: longest text, tokens.
        vocabulary: number of different tokens; 0 is padding.
        prompts: a text for each class, in their order, of which the images choose in evaluation.

    Raises:
        ValueError: the width is no multiple of the heads; (when called) a caption is too long.
    """

    def __init__(
        self,
        feature_dim: int,
        *,
        dim: Annotated[int, Ge(1)] = 64,
        width: Annotated[int, Ge(1)] = 64,
        depth: Annotated[int, Ge(1)] = 2,
        heads: Annotated[int, Ge(1)] = 2,
        context: Annotated[int, Ge(2)] = 64,
        vocabulary: Annotated[int, Ge(2)] = VOCABULARY,
        prompts: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is no multiple of {heads} heads")
        if prompts and vocabulary < VOCABULARY:
            raise ValueError(f"prompts need a vocabulary of {VOCABULARY}, got {vocabulary}")
        self.context = context
        self.image_projection = nn.Linear(feature_dim, dim, bias=False)
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(context, width))
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)
        layer = nn.TransformerEncoderLayer(
            width,
            heads,
            4 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.text_projection = nn.Linear(width, dim, bias=False)
        self.prompts: Tensor
        self.register_buffer("prompts", tokens_of(prompts, context), persistent=False)

    def forward(self, features: Tensor, captions: Tensor | None = None) -> ImagesAndTexts:
        """Project features (V, B, F), and captions (B, L), int64 tokens."""
        projections = unit_rows(self.image_projection(features))
        made: ImagesAndTexts = {"projections": projections}
        if captions is not None:
            made["text_projections"] = self.texts(captions)[None]
        if not self.training:
            made["logits"] = projections @ self.texts(self.prompts).T.to(projections.dtype)
        return made

    def texts(self, tokens: Tensor) -> Tensor:
        """Return the unit projections (N, D) of texts, int64 tokens (N, L).

        Raises:
            ValueError: the texts are longer than the context.
        """
        length = tokens.shape[1]
        if length > self.context:
            raise ValueError(
                f"captions have {length} tokens, and head.context is {self.context}; raise it"
            )
        given = self.tokens(tokens) + self.positions[:length]
        later = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        read = self.norm(self.layers(given, mask=later))
        last = (tokens != PADDING).sum(1).clamp_min(1) - 1
        at_end = read[torch.arange(len(tokens), device=tokens.device), last]
        return unit_rows(self.text_projection(at_end))
