"""What a decoder makes of test images, beside the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sslcore.pipeline.pipeline import augment, encode, project
from sslcore.random import BatchRandom
from sslcore.reports.pixels import Normalization, covered, to_pixels
from sslcore.reports.sheet import Cell, draw_sheet, enlarged

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sslcore.reports.material import Material

#: Test images that are shown.
_IMAGES = 8


@torch.no_grad()
def draw_reconstructions(material: Material) -> Figure | None:
    """Draw views of test images, disturbed or masked as in training, and their reconstructions.

    Returns:
        The figure; None where the head makes no reconstructions.
    """
    session, pipeline = material.session, material.session.pipeline
    images = material.test.images[:_IMAGES].to(session.device)
    augmentation = pipeline.augmentation.train()
    pipeline.encoder.eval()
    if pipeline.head is None:
        return None
    pipeline.head.eval()
    random = BatchRandom(material.recipe.training.seed, 0, len(images), device=session.device)
    signals = augment(augmentation, images, random=random)
    signals |= encode(pipeline.encoder, signals)
    made = project(pipeline.head, signals).get("reconstructions")
    if not isinstance(made, Tensor) or images.dim() == 5:
        return None
    normalization = Normalization.of(augmentation, session.shape, session.device)
    seen: Tensor = signals["views"]
    wanted: Tensor = signals.get("targets", seen)
    views, targets, restored = (
        to_pixels(normalization.undone(each[0])) for each in (seen, wanted, made)
    )
    mask = signals.get("mask")
    if mask is not None:
        views = [covered(view, hidden) for view, hidden in zip(views, mask[0], strict=True)]
    side = signals["views"].shape[-1]
    rows = []
    for number in range(len(images)):
        error = (targets[number] / 255.0 - restored[number] / 255.0) ** 2
        shown = (views[number], restored[number], targets[number])
        texts = (material.test.name_of(number), f"mean squared error {error.mean():.4f}", "")
        rows.append(
            [Cell(enlarged(each, side), text) for each, text in zip(shown, texts, strict=True)]
        )
    return draw_sheet(rows, ["encoder sees", "reconstructed", "target"])
