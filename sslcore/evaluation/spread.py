"""How far a score is known: from its standard deviation, or from the number of test images."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

#: What is in the name of an accuracy: `knn_top1`, `linear_top1_5_per_class`, `accuracy`.
_ACCURACY = re.compile(r"(^|_)(top_?\d+|acc|accuracy)(_|$|\W)")

#: A spread that begins with less than this is given with two digits.
_TWO_DIGITS = 3.55


def spread(metrics: Mapping[str, float], name: str, images: object = None) -> float | None:
    """Return the standard error of a score; None if nothing is known of it.

    An accuracy on n test images has the binomial spread √(p(1 - p)/n), where one hit and one miss
    are added to the counts (Agresti & Coull 1998), so that a perfect score has a spread, too. A
    standard deviation, `NAME_std`, is added to it in squares.

    Args:
        metrics: the scores of a column.
        name: of the metric.
        images: number of test images, if it is known.
    """
    parts = [metrics[f"{name}_std"]] if f"{name}_std" in metrics else []
    value = metrics[name]
    if is_accuracy(name) and isinstance(images, int) and images > 0 and 0 <= value <= 1:
        share = (value * images + 1) / (images + 2)
        parts.append(math.sqrt(share * (1 - share) / images))
    return math.hypot(*parts) if parts else None


def is_accuracy(name: str) -> bool:
    """Whether a metric is a share of the test images, as its name says."""
    return bool(_ACCURACY.search(name)) and not name.endswith(("_mse", "_std"))


def rounded(value: float, within: float | None) -> str:
    """Return a number as text, with the digits that its spread leaves.

    These are the digits down to the first of the spread, and one more where the spread begins with
    10 to 35, as the Particle Data Group rounds. Without a spread, they are four decimals, or three
    digits of a number below 0.1.
    """
    if not within or not math.isfinite(within):
        return f"{value:.3g}" if 0 < abs(value) < 0.1 else f"{value:.4f}"
    return f"{value:.{decimals(within)}f}"


def signed(difference: float, within: float | None) -> str:
    """Return a difference as text, with its sign and its spread: "+0.03 ±0.02"."""
    sign = "" if math.isnan(difference) or difference < 0 else "+"
    shown = f"{sign}{rounded(difference, within)}"
    return f"{shown} ±{rounded(within, within)}" if within else shown


def decimals(within: float) -> int:
    """Return how many decimals a spread above 0 leaves, from 0 to 6."""
    first = math.floor(math.log10(within))
    if within / 10**first < _TWO_DIGITS:
        first -= 1
    return min(6, max(0, -first))
