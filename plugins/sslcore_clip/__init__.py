"""CLIP (Radford et al. 2021): images and captions that belong together have similar projections."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

_PAPER = "Radford et al., Learning Transferable Visual Models, 2021, arXiv:2103.00020"
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@sslcore.hookimpl
def sslcore_datasets() -> Iterator[sslcore.Dataset]:
    yield sslcore.Dataset(
        name="captioned-digits",
        summary="1,797 handwritten digits of 8 px with a caption each, from scikit-learn",
        reference="Alpaydin & Kaynak 1998, Optical recognition of handwritten digits",
        build="sslcore_clip.captions:captioned_digits",
        provides=("captions",),
    )


@sslcore.hookimpl
def sslcore_heads() -> Iterator[sslcore.Head]:
    yield sslcore.Head(
        name="image-text",
        summary="Project features, and captions by a transformer, to one space",
        reference=f"{_PAPER}, section 2.4",
        build="sslcore_clip.head:ImageText",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="clip",
        summary="Find the caption of each image among those of the batch, and the reverse",
        reference=f"{_PAPER}, figure 3",
        build="sslcore_clip.loss:CLIP",
        family="sslcore_clip.conformance:CLIP",
    )


@sslcore.hookimpl
def sslcore_evaluators() -> Iterator[sslcore.Evaluator]:
    yield sslcore.Evaluator(
        name="zero-shot",
        summary="Accuracy of choosing the class whose text is most similar to the image",
        reference=f"{_PAPER}, section 3.1.2",
        build="sslcore_clip.zero_shot:ZeroShot",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="clip",
        summary="Match images with their captions",
        reference=_PAPER,
        augmentation="light",
        encoder="small-cnn",
        head="image-text",
        loss="clip",
        data="captioned-digits",
        evaluators=("knn", "linear-probe", "zero-shot"),
        settings={
            # A square crop is the paper's only augmentation; a mirrored digit is another one.
            "augmentation": {"crop_scale": (0.6, 1.0), "flip": 0.0},
            "head": {"prompts": tuple(f"a plain handwritten {number}" for number in _NUMBERS)},
            # Not so in the paper, whose 0.2 is for 400 million pairs.
            "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 0.05},
            "training": {"epochs": 30, "schedule": "cosine", "warmup_epochs": 1.0},
        },
    )
