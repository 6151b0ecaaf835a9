"""What a decoder makes of test images, beside the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from sslcore.reports.pixels import Normalization, covered, to_pixels
from sslcore.reports.sheet import Cell, draw_sheet, enlarged, strip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sslcore.reports.material import Material
    from sslcore.reports.sheet import Pixels

#: Views of an image in a line, and the side of each of several, px.
_IN_LINE, _IN_STRIP = 5, 48


def draw_reconstructions(material: Material) -> Figure | None:
    """Draw views of test images, disturbed or masked as in training, and their reconstructions.

    Returns:
        The figure; None where the head makes no reconstructions.
    """
    decoded = material.decoded
    if decoded is None:
        return None
    session, signals = material.session, decoded.signals
    augmentation = session.pipeline.augmentation
    normalization = Normalization.of(augmentation, session.shape, session.device)
    seen: Tensor = signals["views"]
    wanted: Tensor = signals.get("targets", seen)
    views, targets, restored = (
        [to_pixels(normalization.undone(view)) for view in each]
        for each in (seen, wanted, decoded.made)
    )
    mask = signals.get("mask")
    if mask is not None:
        views = [
            [covered(pixels, hidden) for pixels, hidden in zip(view, of_view, strict=True)]
            for view, of_view in zip(views, mask, strict=True)
        ]
    side = seen.shape[-1]
    rows = []
    for number in range(seen.shape[1]):
        gaps = [
            ((target[number] / 255.0 - made[number] / 255.0) ** 2).mean()
            for target, made in zip(targets, restored, strict=True)
        ]
        texts = (
            material.test.name_of(number),
            f"mean squared error {sum(gaps) / len(gaps):.4f}",
            "",
        )
        rows.append(
            [
                Cell(_cell([view[number] for view in each], side), text)
                for each, text in zip((views, restored, targets), texts, strict=True)
            ]
        )
    return draw_sheet(rows, ["encoder sees", "reconstructed", "target"])


def compression(material: Material) -> str:
    """Return a sentence on how many numbers the decoder is given for a view."""
    decoded = material.decoded
    if decoded is None:
        return ""
    numbers = decoded.signals["views"][0, 0].numel()
    said = f"For the {numbers:,} numbers of a view, the decoder receives {decoded.code:,}"
    if decoded.code < numbers:
        return f"{said}: {numbers / decoded.code:.1f} times fewer."
    return f"{said}, which is no compression: they could hold a copy of the view."


def _cell(views: list[Pixels], side: int) -> Pixels:
    if len(views) == 1:
        return enlarged(views[0], side)
    return strip([enlarged(view, side, _IN_STRIP) for view in views], _IN_LINE)
