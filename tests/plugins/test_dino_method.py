"""DINO from end to end: crops of two sizes, a teacher, a centre in the checkpoint."""

from __future__ import annotations

import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.runs.checkpoint import load_checkpoint

SMALL = {
    "augmentation": {"local_views": 2},
    "head": {"hidden": (16,), "bottleneck": 8, "dim": 12},
    "training": {"epochs": 1, "batch_size": 128, "precision": "fp32"},
}


def test_the_student_sees_all_views_and_the_teacher_two(registry):
    recipe, _ = make_recipe("dino", settings=SMALL, registry=registry)
    signals = build_pipeline(recipe, ImageShape(16, 1))(
        torch.rand(5, 1, 16, 16), random=sslcore.BatchRandom(0, 0, 5)
    )
    assert signals["projections"].shape == (4, 5, 12)
    assert signals["teacher_projections"].shape == (2, 5, 12)


def test_any_encoder_that_averages_over_positions_will_do(registry):
    for encoder in ("vit", "resnet18"):
        small = {"encoder": {"width": 8, "depth": 1, "heads": 2}} if encoder == "vit" else {}
        recipe, _ = make_recipe(
            "dino", encoder=encoder, settings={**SMALL, **small}, registry=registry
        )
        pipeline = build_pipeline(recipe, ImageShape(32, 3))
        signals = pipeline(torch.rand(3, 3, 32, 32), random=sslcore.BatchRandom(0, 0, 3))
        assert signals["projections"].shape == (4, 3, 12)


def test_the_centre_is_part_of_the_checkpoint(registry, console):
    run = sslcore.train("dino", settings=SMALL, registry=registry, console=console, evaluate=False)
    centre = load_checkpoint(run.checkpoints).tensors["model/loss.centre"]
    assert centre.shape == (12,)
    assert centre.any()
