"""The views of a few images, as the encoder sees them in the first step of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sslcore.data import Split
from sslcore.data.labels import class_of
from sslcore.data.originals import Originals
from sslcore.data.sources import Boxing, Crops
from sslcore.pipeline.pipeline import Signals, augment
from sslcore.random import BatchRandom, epoch_order
from sslcore.reports.pixels import Normalization, colour_note, covered, to_pixels
from sslcore.reports.sheet import Cell, draw_sheet, enlarged, strip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sslcore.reports.sheet import Pixels
    from sslcore.training.session import Session

#: Images that are shown.
_IMAGES = 8
#: The signals that are shown, and the titles of their columns.
_DRAWN = {
    "views": "view",
    "teacher_views": "teacher's view",
    "local_views": "local views",
    "targets": "target",
}
#: More views than this are shown as one strip or grid.
_COLUMNS = 6
#: With no more columns than this, images stand in two columns.
_NARROW = 3
#: Frames, patches and local views in a line, and the side of each in a strip, px.
_IN_LINE, _IN_STRIP = 10, 48
#: Texts below a strip.
_TEXTS = 6
#: Local views in a line.
_LOCAL_IN_LINE = 4


@dataclass(frozen=True)
class ViewSample:
    """A few images with the signals that the augmentation makes of them.

    Attributes:
        images: uint8, or float in [0, 1], (B, C, H, W) or (B, T, C, H, W).
        captions: a text for each image: its name and class.
        signals: the signals of the augmentation, for these images.
        drawn: by signal, for each view and each image, the parameters that were drawn in words;
            empty where the augmentation does not describe them.
        normalization: what the augmentation does to values.
    """

    images: Tensor
    captions: tuple[str, ...]
    signals: Signals
    drawn: dict[str, list[list[str]]]
    normalization: Normalization


@torch.no_grad()
def first_views(session: Session, count: int = _IMAGES) -> ViewSample:
    """Return the views of the first images of the first batch, just as training makes them."""
    training, split = session.recipe.training, session.data.train
    count = min(count, len(split), training.batch_size)
    rows = epoch_order(training.seed, 0, len(split), stop=count)
    images = split.read(rows)

    def random(device: torch.device | str = session.device) -> BatchRandom:
        return BatchRandom(
            training.seed, 0, training.batch_size, rows=slice(0, count), device=device
        )

    augmentation = session.pipeline.augmentation.train()
    shown: Tensor | Crops = images
    sizes: dict[str, Tensor] = {}
    boxing: Boxing | None = getattr(augmentation, "boxes", None)
    if isinstance(split.reader, Originals) and boxing is not None:
        sizes["sizes"] = split.reader.sizes(rows)
        shown = split.reader.crops(rows, boxing, random("cpu"))
    signals = augment(augmentation, shown.to(session.device), random=random())
    describe = getattr(augmentation, "describe", None)
    return ViewSample(
        images,
        tuple(caption(split, int(row), session.data.classes) for row in rows),
        signals,
        {} if describe is None else describe(images.to(session.device), random(), **sizes),
        Normalization.of(augmentation, session.shape, session.device),
    )


def caption(split: Split, row: int, classes: Sequence[str]) -> str:
    """Return the name of an image, or its number, and its class."""
    name = split.name_of(row)
    named = class_of(split.labels, row, classes) if classes else ""
    return f"{name}, class {named}" if named else name


def draw_views(sample: ViewSample, heading: str) -> Figure:
    """Draw a row for each image: the image, its views, local views and targets.

    Few views stand side by side. Many are one cell: frames of a clip as a strip, patches as the
    grid that they were cut in. Hidden patches are covered.
    """
    titles = ["image"]
    rows = [
        [Cell(_image(image), text)]
        for image, text in zip(sample.images, sample.captions, strict=True)
    ]
    mask = sample.signals.get("mask")
    for name, title in _DRAWN.items():
        signal = sample.signals.get(name)
        if not isinstance(signal, Tensor):
            continue
        large = sample.signals["views"].shape[-1]
        pictures = _pictures(sample, signal, mask if name == "views" else None)
        clip = sample.images.dim() == 5
        together = name == "local_views" or len(pictures) > _COLUMNS or clip
        texts = sample.drawn.get(name, [])
        if together:
            local = name == "local_views"
            titles.append(f"{len(pictures)} {'local views' if local else 'views of each'}")
            for image, row in enumerate(rows):
                views = [view[image] for view in pictures]
                drawn = [view[image] for view in texts]
                row.append(Cell(_strip(views, name, large, clip=clip), _together(drawn)))
            continue
        for number, view in enumerate(pictures):
            titles.append(title if len(pictures) == 1 else f"{title} {number + 1}")
            for image, row in enumerate(rows):
                text = texts[number][image] if number < len(texts) else ""
                row.append(Cell(enlarged(view[image], large), text))
    if len(titles) <= _NARROW and len(rows) > 1 and sample.images.dim() == 4:
        # Two images side by side, so that the picture is not three times as high as wide.
        half = -(-len(rows) // 2)
        after = [*rows[half:], []]
        rows, titles = [row + after[place] for place, row in enumerate(rows[:half])], titles * 2
    note = colour_note(sample.images.shape[-3])
    return draw_sheet(rows, titles, "\n".join(filter(None, (heading, note))))


def _together(texts: Sequence[str]) -> str:
    """Return what was drawn for the views in a cell: the first line of each text, each once."""
    every = list(dict.fromkeys(text.partition("\n")[0] for text in texts if text))
    more = len(every) - _TEXTS
    return "; ".join([*every[:_TEXTS], *([f"and {more} more"] if more > 0 else [])])


def _pictures(sample: ViewSample, signal: Tensor, mask: Tensor | None) -> list[list[Pixels]]:
    """Return the pixels of each view of each image."""
    found = [to_pixels(sample.normalization.undone(view)) for view in signal]
    if mask is None:
        return found
    return [
        [covered(pixels, hidden) for pixels, hidden in zip(view, of_view, strict=True)]
        for view, of_view in zip(found, mask, strict=True)
    ]


def _image(image: Tensor) -> Pixels:
    if image.dim() == 3:
        return enlarged(to_pixels(image[None])[0], image.shape[-1])
    frames = [enlarged(frame, image.shape[-1], _IN_STRIP) for frame in to_pixels(image)]
    return strip(frames, _IN_LINE)


def _strip(views: list[Pixels], name: str, large: int, *, clip: bool) -> Pixels:
    if name == "local_views":
        # By the factor of the large views, so that local views look as small as they are.
        factor = enlarged(views[0][:1, :1], large).shape[0]
        shown = [view.repeat(factor, 0).repeat(factor, 1) for view in views]
        return strip(shown, _LOCAL_IN_LINE)
    shown = [enlarged(view, large, _IN_STRIP) for view in views]
    side = round(len(views) ** 0.5)
    return strip(shown, side if side * side == len(views) and not clip else _IN_LINE)
