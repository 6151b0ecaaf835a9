"""Mean average precision, of classes that an image may have several of."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_average_precision(scores: Tensor, labels: Tensor) -> float:
    """Return the mean over the classes of the area below precision against recall, in [0, 1].

    The precision at each threshold counts with the recall that the threshold adds; images with the
    same score share a threshold. Classes of no image are left out.

    Args:
        scores: (M, K).
        labels: whether each class is there, (M, K) bool.

    Raises:
        ValueError: no image has a class.
    """
    present = labels.any(0)
    if not bool(present.any()):
        raise ValueError("no test image has a class: give images with labels")
    scores, labels = scores[:, present].double(), labels[:, present]
    order = scores.argsort(dim=0, descending=True)
    ranked, hits = scores.gather(0, order), labels.gather(0, order).double()
    found = hits.cumsum(0)
    total = torch.arange(1, len(scores) + 1, dtype=torch.float64, device=scores.device)[:, None]
    precision = found / total
    # Of images with the same score, the precision is that of the last one.
    last = torch.ones_like(ranked, dtype=torch.bool)
    last[:-1] = ranked[1:] != ranked[:-1]
    rows = torch.arange(len(ranked), device=scores.device)[:, None].expand_as(ranked)
    ends = torch.where(last, rows, len(ranked)).flip(0).cummin(0).values.flip(0)
    return float((hits * precision.gather(0, ends)).sum(0).div(found[-1]).mean())
