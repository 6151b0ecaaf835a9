"""Text as numbers: a token for each byte, so that any text has tokens and nothing is learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: What fills up a text that is shorter than the others, and what ends a text.
PADDING, END = 0, 257
#: Numbers of different tokens: the bytes, the padding and the end.
VOCABULARY = 258


def tokens_of(texts: Sequence[str], length: int) -> Tensor:
    """Return the tokens of texts, (N, length), int64: their UTF-8 bytes plus 1, an end, padding.

    Args:
        texts: N texts.
        length: tokens of each; the bytes of a longer text are cut off before the end.

    Raises:
        ValueError: the length is less than 2.
    """
    if length < 2:
        raise ValueError(f"a text has 2 tokens at least, got length {length}")
    made = torch.full((len(texts), length), PADDING, dtype=torch.int64)
    for row, text in enumerate(texts):
        numbers = [byte + 1 for byte in text.encode()[: length - 1]] + [END]
        made[row, : len(numbers)] = torch.tensor(numbers)
    return made


def text_of(tokens: Tensor) -> str:
    """Return the text of tokens (L,); bytes that are cut off within a character are left out."""
    bytes_ = bytes(token - 1 for token in tokens.tolist() if token not in (PADDING, END))
    return bytes_.decode(errors="ignore")
