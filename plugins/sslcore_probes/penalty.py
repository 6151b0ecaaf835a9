"""Choosing the penalty of the linear probe on a held-out part of the training images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcore_probes.softmax_regression import fit, logits

#: The penalties tried, strongest first: each solution is where the search for the next one starts.
_PENALTIES = (1e4, 1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2)

#: One in so many images is held out.
_PARTS = 5

#: About as many images as the choice is made on at most.
_SAMPLES = 12_500

#: In nats per sample: what the choice needs is coarser than what the score needs.
_TOLERANCE = 1e-5


def choose_penalty(
    features: Tensor, targets: Tensor, num_classes: int
) -> tuple[float, Tensor | None]:
    """Return the penalty of least held-out cross-entropy, and the weights (1, K, F + 1) it gave.

    A weaker penalty is tried until one does worse. Penalties count against a sum over samples, so
    one chosen on a part suits the whole. Where there are too few images to hold any out, the
    penalty is 1 and there are no weights.

    Args:
        features: standardised training features, (N, F).
        targets: class indices, (N,) int64.
        num_classes: K.
    """
    fitted, held_out = split(features, targets, num_classes)
    if len(held_out) == 0:
        return 1.0, None
    best: tuple[float, float, Tensor] | None = None
    start = None
    for penalty in _PENALTIES:
        start = fit(
            features[fitted][None],
            targets[fitted][None],
            num_classes,
            l2=penalty,
            start=start,
            tolerance=_TOLERANCE,
        )
        loss = float(F.cross_entropy(logits(features[held_out], start[0]).T, targets[held_out]))
        if best is not None and loss >= best[0]:
            break
        best = loss, penalty, start
    assert best is not None
    return best[1], best[2]


def split(features: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return the rows to fit on and the rows held out, every fifth of each class.

    Within a class, images are in the order of one random projection of their features, so that
    the order in which they come makes no difference.
    """
    direction = torch.randn(features.shape[1], generator=torch.Generator().manual_seed(0))
    by_projection = (features @ direction.to(features)).argsort(stable=True)
    rows = by_projection[targets[by_projection].argsort(stable=True)]
    counts = targets.bincount(minlength=num_classes)
    first = counts.cumsum(0) - counts
    place = torch.arange(len(rows), device=rows.device) - first.repeat_interleave(counts)
    stride = -(-len(rows) // _SAMPLES)
    rows, place = rows[place % stride == 0], place[place % stride == 0] // stride
    held_out = place % _PARTS == _PARTS // 2
    return rows[~held_out], rows[held_out]
