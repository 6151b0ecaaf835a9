"""Classification: a linear layer on the features, cross-entropy, and its accuracy."""

from __future__ import annotations

from collections.abc import Iterable

import sslcore


@sslcore.hookimpl
def sslcore_augmentations() -> Iterable[sslcore.Augmentation]:
    yield sslcore.Augmentation(
        name="light",
        summary="One view of each image: a large random crop, mirrored at random",
        reference="Szegedy et al. 2015, Going deeper with convolutions, section 6",
        build="sslcore_classifier.light:Light",
    )


@sslcore.hookimpl
def sslcore_heads() -> Iterable[sslcore.Head]:
    yield sslcore.Head(
        name="classifier",
        summary="A linear layer from the features to a logit for each class",
        build="sslcore_classifier.head:Classifier",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterable[sslcore.Loss]:
    yield sslcore.Loss(
        name="cross-entropy",
        summary="Cross-entropy of the logits and the labels, which are smoothed",
        reference="Szegedy et al. 2016, Rethinking the Inception architecture, section 7",
        build="sslcore_classifier.loss:CrossEntropy",
        supervised=True,
        family="classification",
    )


@sslcore.hookimpl
def sslcore_evaluators() -> Iterable[sslcore.Evaluator]:
    yield sslcore.Evaluator(
        name="classification",
        summary="Accuracy of the classifier that was trained with the encoder",
        build="sslcore_classifier.evaluator:Classification",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterable[sslcore.Method]:
    yield sslcore.Method(
        name="classification",
        summary="Train encoder and classifier on labels; sslcore finetune uses it",
        augmentation="light",
        encoder="small-cnn",
        head="classifier",
        loss="cross-entropy",
        evaluators=("classification",),
        settings={
            "optimizer": {"name": "SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
            "training": {"schedule": "cosine"},
        },
        fine_tunes=True,
    )
