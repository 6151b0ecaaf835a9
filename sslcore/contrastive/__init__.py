"""The cross-entropy of telling one key from many, without the matrix of all similarities.

Similarities are held a few rows at a time, and the gradient needs no more of them. So memory grows
with the number of rows, where the matrix grows with its square. There are two forms: `contrast`
takes any queries and keys (`rows.py`); unit rows that are compared in both directions share each
similarity, which saves a third of the arithmetic (`blocks.py`).
"""

from __future__ import annotations

from sslcore.contrastive.blocks import contrast_both_ways, contrast_views
from sslcore.contrastive.rows import contrast, positions

__all__ = ["contrast", "contrast_both_ways", "contrast_views", "positions"]
