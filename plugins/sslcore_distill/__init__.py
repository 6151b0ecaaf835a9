"""Distillation: a student learns the features of a frozen encoder (Ranzinger et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

_RADIO = "Ranzinger et al., AM-RADIO, 2024, arXiv:2312.06709"
_CONSISTENT = "Beyer et al., Knowledge distillation: A good teacher is patient and consistent, 2022"


@sslcore.hookimpl
def sslcore_heads() -> Iterator[sslcore.Head]:
    yield sslcore.Head(
        name="adaptor",
        summary="A multilayer perceptron from the student's features to the length of the teacher's",
        reference=f"{_RADIO}, section 3, adaptor heads",
        build="sslcore_distill.head:Adaptor",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="teacher-cosine",
        summary="Cosine distance of projections from a teacher's features of the same view",
        reference=f"{_RADIO}, section 3, the loss of summary features",
        build="sslcore_distill.loss:TeacherCosine",
        family="sslcore_distill.conformance:TEACHER_COSINE",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="distill",
        summary="Learn the features of a trained encoder, whatever its architecture",
        # Student and teacher see the same crops and colours, as in the second paper.
        reference=f"{_RADIO}; {_CONSISTENT}, arXiv:2106.05237",
        augmentation="two-views",
        encoder="small-cnn",
        head="adaptor",
        loss="teacher-cosine",
        teacher=sslcore.Teacher(momentum=1.0, head=False, pretrained=True),
        settings={
            "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 1e-2},
            "training": {"schedule": "cosine", "warmup_epochs": 1.0},
        },
    )
