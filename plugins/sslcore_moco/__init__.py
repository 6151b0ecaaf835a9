"""MoCo: contrast with the keys of a slowly moving teacher, queued (v2) or of the batch (v3)."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore
from sslcore_moco.presets import MOCO, MOCO_V3

_MOCO = "He et al., Momentum contrast for visual representation learning, 2020, arXiv:1911.05722"
_MOCO_V2 = (
    "Chen et al., Improved baselines with momentum contrastive learning, 2020, arXiv:2003.04297"
)
_MOCO_V3 = (
    "Chen, Xie & He, An empirical study of training self-supervised vision transformers, 2021, "
    "arXiv:2104.02057"
)


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="queue-contrast",
        summary="Identify an image's key among a queue of keys of earlier images",
        reference=f"{_MOCO}, equation (1) and algorithm 1",
        build="sslcore_moco.queue:QueueContrast",
        family="sslcore_moco.conformance:QUEUE",
    )
    yield sslcore.Loss(
        name="momentum-contrast",
        summary="Predict the key of the other view, and identify it among those of other images",
        reference=f"{_MOCO_V3}, equation (1) and algorithm 1",
        build="sslcore_moco.batch:MomentumContrast",
        family="sslcore_moco.conformance:BATCH",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="moco",
        summary="Identify an image's key, from a momentum teacher, among a queue of keys",
        reference=f"{_MOCO_V2}, after {_MOCO}",
        augmentation="two-views",
        encoder="small-cnn",
        head="projection",
        loss="queue-contrast",
        # The keys of a queue come from as many teachers as batches, which must be near alike
        # (section 3.2).
        teacher=sslcore.Teacher(momentum=0.999),
        # Algorithm 1: the query by the student, the key by the teacher.
        settings={"augmentation": {"teacher_apart": True}},
        presets=MOCO,
    )
    yield sslcore.Method(
        name="moco-v3",
        summary="Predict the key of the other view, and identify it among the keys of other images",
        reference=_MOCO_V3,
        augmentation="two-views",
        encoder="small-cnn",
        head="prediction",
        loss="momentum-contrast",
        teacher=sslcore.Teacher(momentum=0.99, final_momentum=1.0),
        settings={"augmentation": {"asymmetric": True}, "head": {"norm_output": True}},
        presets=MOCO_V3,
    )
