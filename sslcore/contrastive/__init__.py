"""The cross-entropy of identifying one key among many, without the matrix of all similarities.

Forward and backward hold the similarities of a few rows at a time. Memory therefore grows linearly
with the number of rows, while that of the whole matrix grows quadratically. There are two forms:
`contrast` takes any queries and keys (`rows.py`); `contrast_views` and `contrast_both_ways` compare
unit rows in both directions and use each similarity twice, which saves a third of the arithmetic
(`blocks.py`).
"""

from __future__ import annotations

from sslcore.contrastive.blocks import contrast_both_ways, contrast_views
from sslcore.contrastive.rows import contrast, positions

__all__ = ["contrast", "contrast_both_ways", "contrast_views", "positions"]
