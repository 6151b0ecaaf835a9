"""What was drawn for each view, in words, for a person who looks at the views."""

from __future__ import annotations

from torch import Tensor

from sslcore.transforms._blocks import ViewDraws

_FACTORS = ("brightness", "contrast", "saturation")


def in_words(draws: ViewDraws, images: int) -> list[list[str]]:
    """Return for each view and each image what was drawn, in lines.

    Args:
        draws: as `RandomViews.draw` returns them, a row for each view, view by view.
        images: how many images there are.
    """
    count = len(draws.flip)
    texts = [_of_one(draws, row) for row in range(count)]
    return [texts[start : start + images] for start in range(0, count, images)]


def _of_one(draws: ViewDraws, row: int) -> str:
    top, left, height, width = (int(each[row]) for each in draws.boxes)
    found = [f"crop {height}×{width} at {top},{left}"]
    if _drawn(draws.flip, row):
        found.append("mirrored")
    if draws.degrees is not None and draws.translate is not None:
        right, down = draws.translate[row].tolist()
        found.append(f"turned {float(draws.degrees[row]):+.0f}°")
        found += [f"moved {down:+.1f},{right:+.1f}"] if down or right else []
    if _drawn(draws.jittered, row):
        given = zip(_FACTORS, draws.factors[:3], strict=True)
        parts = [f"{name} ×{_factor(each[row])}" for name, each in given if each is not None]
        if draws.factors.hue is not None:
            parts.append(f"hue {float(draws.factors.hue[row]):+.2f}")
        found += parts
    if _drawn(draws.grey, row):
        found.append("grey")
    if _drawn(draws.blurred, row) and draws.sigma is not None:
        found.append(f"blurred, σ {float(draws.sigma[row]):.2f}")
    if _drawn(draws.solarized, row):
        found.append("solarized")
    return "\n".join(found)


def _factor(drawn: Tensor) -> str:
    """Return a factor, or the least and the greatest of those of the channels."""
    low, high = float(drawn.min()), float(drawn.max())
    return f"{low:.2f}" if drawn.dim() == 0 else f"{low:.2f} to {high:.2f} by channel"


def _drawn(given: Tensor | None, row: int) -> bool:
    return given is not None and bool(given[row])
