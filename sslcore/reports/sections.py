"""The sections of a report: a title, a sentence, and the function that draws its picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslcore.reports.curves import draw_curves
from sslcore.reports.features import draw_map, draw_neighbours, draw_spectrum
from sslcore.reports.maps import MAPS
from sslcore.reports.mistakes import draw_confusion, draw_mistakes
from sslcore.reports.reconstructions import compression, draw_reconstructions
from sslcore.reports.scores import draw_scores
from sslcore.reports.views import draw_views, first_views

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sslcore.reports.material import Material


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes:
        key: the name of its picture in `figures/`.
        title: its heading.
        text: how to read the picture; {images} stands for the images shown.
        draw: draws it; None where the run has nothing to show.
        labels: whether it needs labels.
        images: whether it shows images of the data.
        note: returns another sentence, on this run.
    """

    key: str
    title: str
    text: str
    draw: Callable[[Material], Figure | None]
    labels: bool = False
    images: bool = False
    note: Callable[[Material], str] | None = None


def _whose_predictions(material: Material) -> str:
    if material.classifies:
        return "The predictions are those of the run's own classifier."
    return (
        "The predictions are those of a softmax regression on the features, fitted on at most "
        "5,000 training images. It is another classifier than the linear probe, so its accuracy "
        "differs from linear_top1."
    )


SECTIONS = (
    Section(
        "scores",
        "Scores",
        "Each metric of the trained encoder, of the same encoder with its initial weights, and of "
        "the raw pixels. A line on a bar is the standard error: it comes from the number of test "
        "images or, where labels were drawn, from the draws. ± after a difference is its spread. A "
        "score is bold if it is better than both baselines by more than that.",
        lambda material: draw_scores(material.table, material.details),
    ),
    Section(
        "training",
        "Training",
        "The numbers of metrics.jsonl. An effective rank or a spread that falls towards its least "
        "value means that the representations collapse, which the loss alone does not show.",
        lambda material: draw_curves({material.run.path.name: [material.metrics]}),
    ),
    Section(
        "views",
        "Views",
        "Images of the first batch and the views that the encoder was trained on.",
        lambda material: draw_views(first_views(material.session), ""),
        images=True,
    ),
    Section(
        "reconstructions",
        "Reconstructions",
        "{Images}, disturbed or masked as in training, and what the decoder makes of them.",
        draw_reconstructions,
        images=True,
        note=compression,
    ),
    Section(
        "map",
        "Map of the features",
        "{Images}, placed so that images with similar features lie together.",
        draw_map,
        images=True,
        note=lambda material: MAPS[material.map].text,
    ),
    Section(
        "neighbours",
        "Nearest neighbours",
        "{Images} and the training images whose features are most similar (cosine).",
        draw_neighbours,
        images=True,
    ),
    Section(
        "confusion",
        "Confusion",
        "True and predicted classes of test images.",
        draw_confusion,
        labels=True,
        note=_whose_predictions,
    ),
    Section(
        "mistakes",
        "Worst mistakes",
        "The test images whose true class the same classifier thinks least likely, the worst "
        "first, with the probabilities of both classes.",
        draw_mistakes,
        labels=True,
        images=True,
    ),
    Section(
        "spectrum",
        "Spectrum of the features",
        "Eigenvalues of the covariance of the features of {images}. The more directions the "
        "features use, the slower the curve falls. The effective rank is that of features of "
        "length 1, as during training.",
        draw_spectrum,
    ),
)
