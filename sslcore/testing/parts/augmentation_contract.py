"""Properties of augmentations: the form of views, at any settings and for any batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

from sslcore.random import BatchRandom
from sslcore.testing.parts.augmentation_subject import AugmentationSubject
from sslcore.testing.parts.pictures import KINDS
from sslcore.testing.parts.settings import settings_at_bounds, settings_strategy
from sslcore.testing.parts.subject import PartExample, Refused, states_bounds
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def anchors(subject: AugmentationSubject) -> Sequence[PartExample]:
    """Return an example for each number of channels, at the spec's settings."""
    return [PartExample(channels=channels) for channels in subject.spec.channels]


def examples(subject: AugmentationSubject) -> SearchStrategy[PartExample]:
    """Return examples with drawn settings, images and random numbers."""
    return st.builds(
        PartExample,
        settings=settings_strategy(subject.interface, fixed=subject.spec.settings),
        channels=st.sampled_from(tuple(subject.spec.channels)),
        batch=st.integers(1, 5),
        pictures=st.sampled_from(KINDS),
        seed=st.integers(0, 3),
        step=st.integers(0, 3),
        drawn=st.just(True),
    )


def randomly(subject: AugmentationSubject) -> str:
    """Return why nothing is random at the spec's settings; empty if something is."""
    return subject.why_not_random(replace(anchors(subject)[0], batch=8))


@declare(
    "views-follow-the-contract",
    "A1",
    formula="views: (V, B, C, h, h) float32, finite; targets like views; local_views too, with "
    "their own h; mask (V, B, L) bool; forward returns the signals that it declares",
    kills="a batch that is dropped or doubled, NaN at a bound, another type, an undeclared signal",
    anchors=anchors,
    examples=examples,
)
def views_follow_the_contract(subject: AugmentationSubject, example: PartExample) -> None:
    for train in (True, False):
        _follows(subject, example, train=train)


def _follows(subject: AugmentationSubject, example: PartExample, *, train: bool) -> None:
    module, images = subject.module(example, train=train), subject.images(example)
    random = BatchRandom(example.seed, example.step, len(images)) if train else None
    made = subject.run(module, images, example, random)
    code = subject.code(example, train=train)
    views = made["views"]
    _check_views("views", views, example.batch, code)
    if isinstance(targets := made.get("targets"), Tensor):
        _check_views("targets", targets, example.batch, code)
        if targets.shape != views.shape:
            raise Violation(
                f"targets {_shape(targets)} differ in shape from views {_shape(views)}", code
            )
    if isinstance(local := made.get("local_views"), Tensor):
        _check_views("local_views", local, example.batch, code)
        if local.shape[2] != views.shape[2]:
            raise Violation(
                f"local_views {_shape(local)} and views {_shape(views)} differ in channels", code
            )
    if isinstance(mask := made.get("mask"), Tensor) and (
        mask.dtype != torch.bool or mask.dim() != 3 or mask.shape[:2] != views.shape[:2]
    ):
        raise Violation(f"mask must be (V, B, L) bool, got {mask.dtype} {_shape(mask)}", code)
    declared = subject.declared(module)
    for name, always in declared.items():
        if always and name not in made:
            raise Violation(f"forward declares {name} but does not return it", code)
    for name in made:
        if name not in declared:
            raise Violation(f"forward returns {name}, which its annotation does not declare", code)


def _check_views(name: str, views: Tensor, batch: int, code: str) -> None:
    if views.dim() != 5 or views.shape[1] != batch or views.shape[-1] != views.shape[-2]:
        raise Violation(
            f"{name} must be (V, B, C, h, h) with B = {batch}, got {_shape(views)}", code
        )
    if views.numel() == 0:
        raise Violation(f"{name} are empty: {_shape(views)}", code)
    if views.dtype != torch.float32:
        raise Violation(f"{name} must be float32, as the images are, got {views.dtype}", code)
    if not bool(views.isfinite().all()):
        raise Violation(f"{name} are not finite", code)


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


@declare(
    "settings-at-their-bounds-work",
    "A2",
    formula="at each bound that a setting's annotation states, A1 holds or ValueError is raised",
    kills="a division by a strength of 0, an empty range, an index out of range at probability 1",
    anchors=anchors,
    applies=states_bounds,
)
def settings_at_their_bounds_work(subject: AugmentationSubject, example: PartExample) -> None:
    for settings in settings_at_bounds(subject.interface, fixed=subject.spec.settings):
        try:
            for train in (True, False):
                at_bound = replace(example, settings=settings, drawn=True)
                _follows(subject, at_bound, train=train)
        except Refused:
            continue


@declare(
    "as-many-views-of-any-batch",
    "A3",
    formula="V, C and h are the same for every batch size, step and image",
    kills="a random number of views, one view for each image of the batch",
    anchors=anchors,
)
def as_many_views_of_any_batch(subject: AugmentationSubject, example: PartExample) -> None:
    for train in (True, False):
        found: set[tuple[int, ...]] = set()
        for batch, step in ((4, 0), (1, 0), (7, 0), (4, 1), (4, 2), (4, 3), (4, 4)):
            tried = replace(example, batch=batch, step=step)
            views = subject.train_views(tried) if train else subject.eval_views(tried)
            found.add((views.shape[0], *views.shape[2:]))
        if len(found) > 1:
            raise Violation(
                f"views of an image are {' or '.join(map(str, sorted(found)))}, by batch and step",
                subject.code(example, train=train),
            )


AUGMENTATION_CONTRACT = (
    views_follow_the_contract,
    settings_at_their_bounds_work,
    as_many_views_of_any_batch,
)
