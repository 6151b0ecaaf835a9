"""Properties of the distribution of views: over the images of a batch, and against a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sslcore.testing.parts.augmentation_contract import anchors, randomly
from sslcore.testing.parts.augmentation_subject import AugmentationSubject
from sslcore.testing.parts.subject import PartExample, with_global_seed
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation

#: Equal images in a batch, and number of batches: 384 draws.
_ALIKE, _BATCHES = 16, 24
#: Independent draws have a ratio near 1; with one degree of freedom per step, a ratio above 3.5 has
#: probability 1e-6. A shared random number adds about 16 times its share of the variance.
_RATIO = 4.0

#: Views drawn of one image, from the augmentation and from the reference.
_DRAWS = 800
#: Standard errors by which two means may differ: about a thousand pixels are compared, and about
#: a hundred statistics of a whole view.
_ERRORS_OF_PIXELS, _ERRORS = 5.5, 5.0


def _alike(subject: AugmentationSubject) -> Sequence[PartExample]:
    return [replace(item, batch=_ALIKE, pictures="alike") for item in anchors(subject)[:1]]


@declare(
    "each-image-draws-its-own",
    "A13",
    formula="equal images get independent views: B·var(batch means)/var(within a batch) ≈ 1",
    kills="one crop or one strength for the whole batch",
    precondition="something is random at the spec's settings",
    anchors=_alike,
    applies=randomly,
)
def each_image_draws_its_own(subject: AugmentationSubject, example: PartExample) -> None:
    module = subject.module(example)
    steps = [
        subject.train_views(replace(example, step=step), module=module) for step in range(_BATCHES)
    ]
    views = torch.stack(steps).double()  # (S, V, B, C, h, w)
    within = float(views.var(2).mean(0).sum())
    between = float(views.mean(2).var(0).sum()) * _ALIKE
    if between == within == 0:
        return
    ratio = between / within if within > 0 else float("inf")
    subject.meter.see(ratio / _RATIO)
    if not ratio < _RATIO:
        raise Violation(
            f"images in a batch share random numbers: {_ALIKE} images that are alike get views "
            f"{ratio:.3g} times as alike as independent ones would be",
            subject.code(example),
        )


@declare(
    "no-strength-no-change",
    "A14",
    formula="at the spec's identity settings, training views equal the views for evaluators",
    kills="a transform that strength 0 does not switch off, a different normalisation",
    precondition="the spec states such settings",
    anchors=anchors,
    applies=lambda subject: (
        "" if subject.spec.identity is not None else "the spec states no settings for it (identity)"
    ),
)
def no_strength_no_change(subject: AugmentationSubject, example: PartExample) -> None:
    assert subject.spec.identity is not None
    example = replace(example, settings=dict(subject.spec.identity))
    trained, seen = subject.train_views(example), subject.eval_views(example)
    if len(seen) not in (1, len(trained)):
        raise Violation(
            f"there are {len(trained)} training views, but {len(seen)} for evaluators",
            subject.code(example),
        )
    subject.near(trained, seen.expand_as(trained), "views at the identity", subject.code(example))


@declare(
    "distributed-as-the-reference",
    "A15",
    formula="mean and spread of each pixel, of a view's contrast, slopes and colour, and of the "
    "products of any two of these equal those of the reference within 5 standard errors (5.5 "
    "for pixels)",
    kills="a range, a probability or an order that differs from the reference",
    precondition="the spec gives a reference",
    anchors=lambda subject: anchors(subject)[-1:],
    applies=lambda subject: (
        "" if subject.spec.reference is not None else "the spec gives no reference"
    ),
)
def distributed_as_the_reference(subject: AugmentationSubject, example: PartExample) -> None:
    reference = subject.spec.reference
    assert reference is not None
    image = subject.images(replace(example, batch=1))[0]
    images = image.expand(_DRAWS, *image.shape).clone()
    views = subject.train_views(replace(example, batch=_DRAWS), images=images)
    wanted = with_global_seed(
        0,
        lambda: torch.stack(
            [
                subject.guarded(lambda: reference(image.clone()), "reference(image)", example)
                for _ in range(_DRAWS)
            ]
        ),
    )
    if views.shape[2:] != wanted.shape[1:]:
        raise Violation(
            f"views are {tuple(views.shape[2:])}, those of the reference {tuple(wanted.shape[1:])}"
        )
    theirs = _statistics(wanted)
    for number, view in enumerate(views):
        ours = _statistics(view)
        for name in ours:
            _compare(subject, f"view {number}, {name}", ours[name], theirs[name], example)
        pairs, wanted_pairs = _products(ours, theirs), _products(theirs, theirs)
        for name in pairs:
            _compare(subject, f"view {number}, {name}", pairs[name], wanted_pairs[name], example)


def _statistics(views: Tensor) -> dict[str, Tensor]:
    """Return statistics (draws, …) of views (draws, C, h, w)."""
    views = views.double()
    across, down = (item.abs().mean((1, 2, 3)) for item in (views.diff(dim=-1), views.diff(dim=-2)))
    ramp = torch.linspace(-1, 1, views.shape[-1], dtype=views.dtype)
    return {
        "pixels": views.flatten(1),
        "mean": views.mean((1, 2, 3))[:, None],
        "contrast": views.std((2, 3)),
        "slopes": torch.stack([across, down], 1),
        "lean": torch.stack([(views * ramp).mean((1, 2, 3)), (views.mT * ramp).mean((1, 2, 3))], 1),
        "colour": views.mean((2, 3)).std(1, correction=0)[:, None],
    }


def _products(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the products (draws, …) of any two statistics of a view, in units of the reference's.

    Their means show whether one transform depends on another.
    """
    names = [name for name in theirs if name != "pixels"]
    table = torch.cat([theirs[name] for name in names], 1)
    units = table.std(0) + 1e-6
    scaled = (torch.cat([ours[name] for name in names], 1) - table.mean(0)) / units
    one, other = torch.triu_indices(scaled.shape[1], scaled.shape[1], 1)
    return {"how numbers go together": scaled[:, one] * scaled[:, other]}


def _compare(
    subject: AugmentationSubject, what: str, ours: Tensor, theirs: Tensor, example: PartExample
) -> None:
    centre = theirs.mean(0)
    allowed = _ERRORS_OF_PIXELS if ours.shape[1] > 100 else _ERRORS
    for moment in (1, 2):
        one = ours if moment == 1 else (ours - centre).square()
        other = theirs if moment == 1 else (theirs - centre).square()
        variance = one.var(0) / len(one) + other.var(0) / len(other)
        error = (one.mean(0) - other.mean(0)).abs() / (variance.sqrt() + 1e-6)
        worst = float(error.max())
        subject.meter.see(worst / allowed)
        if not worst <= allowed:
            raise Violation(
                f"{what}: the {'mean' if moment == 1 else 'spread'} is {worst:.1f} standard errors "
                "from the reference's",
                subject.code(example),
            )


AUGMENTATION_STATISTICS = (
    each_image_draws_its_own,
    no_strength_no_change,
    distributed_as_the_reference,
)
