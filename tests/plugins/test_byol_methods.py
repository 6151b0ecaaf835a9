"""BYOL and SimSiam as methods: they learn, and BYOL's teacher follows the student."""

from __future__ import annotations

import pytest
import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.random import BatchRandom
from sslcore.registry.registry import default_registry
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import METRICS
from sslcore.runs.metrics import read_metrics
from sslcore.training.state import restore_weights

QUICK = {
    "encoder": {"widths": (8, 16)},
    "head": {"hidden": (32,), "dim": 16, "predictor_hidden": (32,)},
    "training": {"epochs": 5, "batch_size": 128, "log_every": 4, "precision": "fp32"},
}


def _trained(method, console):
    return sslcore.train(
        method, settings=QUICK, registry=default_registry(), console=console, evaluate=False
    )


def _pipeline(run):
    recipe, _ = make_recipe(config=run.config(), registry=default_registry())
    return build_pipeline(recipe, run.shape())


@pytest.mark.parametrize("method", ["byol", "simsiam"])
def test_it_trains_every_layer_of_the_encoder_and_its_loss_falls(method, console):
    run = _trained(method, console)
    losses = [line["loss"] for line in read_metrics(run.path / METRICS)]
    # The teacher moves away from the student at first, so later losses are compared.
    assert losses[-1] < max(losses[: len(losses) // 2])
    before, after = _pipeline(run).state_dict(), load_checkpoint(run.checkpoints).tensors
    trained = [name for name in before if name.startswith("encoder.") and "weight" in name]
    assert all(not torch.equal(before[name], after[f"model/{name}"]) for name in trained)


def test_the_teacher_follows_the_student_and_gets_no_gradient(console):
    run = _trained("byol", console)
    pipeline = _pipeline(run)
    start = {name: value.clone() for name, value in pipeline.named_parameters()}
    restore_weights(pipeline, load_checkpoint(run.checkpoints))
    for part in ("encoder", "head"):
        students = dict(getattr(pipeline, part).named_parameters())
        for name, teacher in pipeline.teacher[part].named_parameters():
            assert not teacher.requires_grad
            if teacher.dim() > 1 and "predictor" not in name:
                moved = (students[name] - start[f"{part}.{name}"]).norm()
                assert (teacher - start[f"{part}.{name}"]).norm() > 0
                assert (students[name] - teacher).norm() < moved


@pytest.mark.parametrize("method", ["byol", "simsiam"])
def test_what_predictions_are_compared_with_has_no_say_in_the_gradient(method):
    recipe, _ = make_recipe(method, settings=QUICK, registry=default_registry())
    pipeline = build_pipeline(recipe, ImageShape(16, 1))
    images = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    signals = pipeline(images, random=BatchRandom(0, 0, 6))
    compared = "teacher_projections" if method == "byol" else "projections"
    constant = {
        "predictions": signals["predictions"],
        compared: signals[compared].detach().clone(),
    }
    weights = pipeline.trainable()
    usual = torch.autograd.grad(signals["loss"], weights, retain_graph=True)
    alone = torch.autograd.grad(pipeline.loss(**constant), weights)
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(usual, alone, strict=True))


def test_byol_has_the_paper_s_teacher_and_simsiam_has_none():
    registry = default_registry()
    # The official code's for 100 epochs; the one for 1000 epochs suits the digits' short runs.
    for preset, momentum in (("224px", 0.99), ("32px", 0.99), ("quick", 0.996)):
        recipe, _ = make_recipe("byol", settings={"training": {"preset": preset}})
        assert (recipe.teacher.momentum, recipe.teacher.final_momentum) == (momentum, 1.0)
    assert registry.resolve("method", "simsiam").record.teacher is None


def test_simsiam_normalises_its_projections_as_the_paper_does():
    recipe, _ = make_recipe("simsiam", settings=QUICK, registry=default_registry())
    pipeline = build_pipeline(recipe, ImageShape(16, 1))
    last = pipeline.head.projector[-1]
    assert isinstance(last, torch.nn.BatchNorm1d)
    assert not last.affine
