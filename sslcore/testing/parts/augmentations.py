"""Properties of augmentations: what views may depend on, and what a call must not change."""

from __future__ import annotations

from dataclasses import replace

import torch

from sslcore.random import BatchRandom
from sslcore.testing.parts.augmentation_contract import anchors, examples, randomly
from sslcore.testing.parts.augmentation_subject import AugmentationSubject
from sslcore.testing.parts.subject import PartExample, Untouched, same_bits, with_global_seed
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation


@declare(
    "evaluators-see-the-same-every-time",
    "A4",
    formula="in eval mode views depend on the images only, even if random numbers are passed",
    kills="an augmentation that is random in eval mode, or needs random numbers there",
    anchors=anchors,
    examples=examples,
    max_examples=12,
)
def evaluators_see_the_same_every_time(subject: AugmentationSubject, example: PartExample) -> None:
    images = subject.images(example)
    first = subject.eval_views(example)
    module = subject.module(example, train=False)
    random = BatchRandom(example.seed, example.step, len(images))
    others = {
        "a second call": subject.eval_views(example),
        "another state of the global generators": with_global_seed(
            5, lambda: subject.eval_views(example)
        ),
        "random numbers, which eval mode must ignore": subject.run(module, images, example, random)[
            "views"
        ],
    }
    for what, views in others.items():
        if not same_bits(first, views):
            raise Violation(
                f"other views in eval mode after {what}", subject.code(example, train=False)
            )


@declare(
    "evaluated-views-are-of-one-image",
    "A5",
    formula="in eval mode the views of image i depend on image i only",
    kills="statistics of the batch in the normalisation",
    anchors=anchors,
    examples=examples,
    max_examples=12,
)
def evaluated_views_are_of_one_image(subject: AugmentationSubject, example: PartExample) -> None:
    images = subject.images(example)
    whole = subject.eval_views(example)
    order = torch.arange(len(images)).flip(0)
    code = subject.code(example, train=False)
    subject.near(subject.eval_views(example, images[order]), whole[:, order], "reversed", code)
    subject.near(subject.eval_views(example, images[:1]), whole[:, :1], "an image alone", code)


@declare(
    "training-views-are-of-one-image",
    "A6",
    formula="with the same random numbers, the views of image i depend on image i only",
    kills="parameters or statistics that are computed over the batch",
    anchors=anchors,
    examples=examples,
    max_examples=12,
)
def training_views_are_of_one_image(subject: AugmentationSubject, example: PartExample) -> None:
    example = replace(example, batch=max(2, example.batch))
    images = subject.images(example)
    whole = subject.train_views(example)
    others = images.clone()
    others[1:] = 1 - images[1:].flip(-1) * 0.5
    changed = subject.train_views(example, images=others)
    code = subject.code(example)
    subject.near(changed[:, :1], whole[:, :1], "image 0 after a change of the others", code)


@declare(
    "same-views-in-any-split",
    "A7",
    formula="views of some rows of a batch, with `BatchRandom(…, rows=…)`, are the same rows of "
    "the views of the whole batch",
    kills="random numbers that ignore the rows, or whose number depends on the batch",
    anchors=anchors,
    examples=examples,
    max_examples=12,
)
def same_views_in_any_split(subject: AugmentationSubject, example: PartExample) -> None:
    example = replace(example, batch=example.batch + 3)
    whole = subject.train_views(example)
    code = subject.code(example)
    for cut in (example.batch // 2, 1):
        for rows in (slice(0, cut), slice(cut, example.batch)):
            part = subject.train_views(example, rows=rows)
            subject.near(part, whole[:, rows], f"rows {rows.start} to {rows.stop}", code)


@declare(
    "a-seed-and-step-decide",
    "A8",
    formula="views are a function of images, settings and (seed, step), to the bit",
    kills="torch.rand, a state kept between calls",
    anchors=anchors,
    examples=examples,
    max_examples=12,
)
def a_seed_and_step_decide(subject: AugmentationSubject, example: PartExample) -> None:
    module = subject.module(example)
    first = subject.train_views(example, module=module)
    subject.train_views(replace(example, step=example.step + 1), module=module)
    others = {
        "after another step": subject.train_views(example, module=module),
        "from a new augmentation": subject.train_views(example),
        "with the global generators in another state": with_global_seed(
            7, lambda: subject.train_views(example)
        ),
    }
    for what, views in others.items():
        if not same_bits(first, views):
            raise Violation(f"other views {what}", subject.code(example))


@declare(
    "another-step-gives-other-views",
    "A9",
    formula="random views differ between steps and between seeds",
    kills="a seed that ignores the step, the same crop of an image in every epoch",
    precondition="something is random at the spec's settings",
    anchors=lambda subject: [replace(item, batch=8) for item in anchors(subject)],
    applies=randomly,
)
def another_step_gives_other_views(subject: AugmentationSubject, example: PartExample) -> None:
    first = subject.train_views(example)
    for what in ("step", "seed"):
        moved = [
            replace(example, seed=number) if what == "seed" else replace(example, step=number)
            for number in range(1, 9)
        ]
        again = [subject.train_views(item) for item in moved]
        if all(torch.equal(views, first) for views in again):
            raise Violation(f"the same views for eight {what}s", subject.code(example))


@declare(
    "leaves-images-alone",
    "A10",
    formula="images and their version counter are the same after the call",
    kills="an in-place crop, hole or normalisation",
    anchors=anchors,
    examples=examples,
    max_examples=8,
)
def leaves_images_alone(subject: AugmentationSubject, example: PartExample) -> None:
    for train in (True, False):
        images = subject.images(example)
        held = Untouched({"images": images})
        random = BatchRandom(example.seed, example.step, len(images)) if train else None
        subject.run(subject.module(example, train=train), images, example, random)
        held.check(subject.code(example, train=train))


@declare(
    "leaves-global-state-alone",
    "A11",
    formula="the generators of torch, numpy and Python, and torch's switches, do not change",
    kills="torch.rand, random.random, a manual_seed, a switch that is not restored",
    anchors=anchors,
    examples=examples,
    max_examples=8,
)
def leaves_global_state_alone(subject: AugmentationSubject, example: PartExample) -> None:
    module, images = subject.module(example), subject.images(example)
    random = BatchRandom(example.seed, example.step, len(images))
    with subject.leaving_global_state(subject.code(example)):
        subject.run(module, images, example, random)
    with subject.leaving_global_state(subject.code(example, train=False)):
        subject.run(module.eval(), images, example, None)


@declare(
    "same-views-of-any-memory-layout",
    "A12",
    formula="channels-last images, and images with gaps between them, give the same views",
    kills="`view` on non-contiguous tensors, a reshape that mixes channels",
    anchors=anchors,
)
def same_views_of_any_memory_layout(subject: AugmentationSubject, example: PartExample) -> None:
    images = subject.images(example)
    wide = torch.zeros(*images.shape[:-1], images.shape[-1] + 3)
    wide[..., 2:-1] = images
    layouts = {"with gaps between rows": wide[..., 2:-1]}
    flat = images.flatten(0, -4)
    last = flat.contiguous(memory_format=torch.channels_last).view_as(flat)
    layouts["channels-last"] = last.unflatten(0, images.shape[:-3]) if images.dim() == 5 else last
    module = subject.module(example)
    whole = subject.train_views(example, images=images, module=module)
    for what, laid in layouts.items():
        views = subject.train_views(example, images=laid, module=module)
        subject.near(views, whole, f"images {what}", subject.code(example))


AUGMENTATION = (
    evaluators_see_the_same_every_time,
    evaluated_views_are_of_one_image,
    training_views_are_of_one_image,
    same_views_in_any_split,
    a_seed_and_step_decide,
    another_step_gives_other_views,
    leaves_images_alone,
    leaves_global_state_alone,
    same_views_of_any_memory_layout,
)
