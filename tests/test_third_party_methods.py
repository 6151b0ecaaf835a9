"""Methods that bend most registries, published by somebody else against the public API alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.assembly import ImageShape, build_pipeline
from sslcore.checkpoint import load_checkpoint
from sslcore.evaluation import FeatureExtractor
from sslcore.metrics import read_metrics
from sslcore.run import METRICS

THIRD_PARTY = Path(__file__).parent / "third_party"
QUICK = {"training": {"epochs": 12, "batch_size": 128, "log_every": 4, "precision": "fp32"}}


@pytest.mark.parametrize("method", ["byol", "moco", "mae"])
def test_a_third_party_method_trains_and_its_loss_falls(method, registry, console):
    run = sslcore.train(method, settings=QUICK, registry=registry, console=console, evaluate=False)
    losses = [line["loss"] for line in read_metrics(run.path / METRICS)]
    # A queue that fills makes MoCo's task harder at first, so its later losses are compared.
    early = max(losses[: len(losses) // 2])
    assert losses[-1] < early
    before = build_pipeline(*_recipe_and_shape(run, registry)).state_dict()
    after = load_checkpoint(run.checkpoints).tensors
    trained = [name for name in before if name.startswith("encoder.") and "weight" in name]
    assert all(not torch.equal(before[name], after[f"model/{name}"]) for name in trained)


def test_the_teacher_follows_the_student_and_gets_no_gradient(registry, console):
    run = sslcore.train("byol", settings=QUICK, registry=registry, console=console, evaluate=False)
    recipe, shape = _recipe_and_shape(run, registry)
    pipeline = build_pipeline(recipe, shape)
    start = {name: value.clone() for name, value in pipeline.named_parameters()}
    load_checkpoint(run.checkpoints).restore(pipeline)
    for name, teacher in pipeline.teacher["encoder"].named_parameters():
        student = dict(pipeline.encoder.named_parameters())[name]
        initial = start[f"encoder.{name}"]
        assert not teacher.requires_grad
        if student.dim() > 1:
            assert 0 < (teacher - initial).norm() < (student - initial).norm()


def test_a_queue_is_part_of_the_checkpoint(registry, console):
    run = sslcore.train("moco", settings=QUICK, registry=registry, console=console, evaluate=False)
    tensors = load_checkpoint(run.checkpoints).tensors
    steps = 12 * (1347 // 128)
    assert tensors["model/loss.written"] == steps * 128
    norms = tensors["model/loss.queue"].norm(dim=-1)
    assert torch.allclose(norms, torch.ones_like(norms), atol=1e-5)


def test_building_a_pipeline_leaves_the_queue_empty(registry):
    recipe, _ = make_recipe("moco", registry=registry)
    pipeline = build_pipeline(recipe, ImageShape(16, 1))
    assert pipeline.loss.written == 0


def test_a_masked_encoder_sees_the_visible_patches_only(registry):
    recipe, _ = make_recipe("mae", settings={"augmentation": {"ratio": 0.75}}, registry=registry)
    pipeline = build_pipeline(recipe, ImageShape(16, 1))
    pipeline(torch.rand(5, 1, 16, 16), random=sslcore.BatchRandom(0, 0, 5))
    assert pipeline.encoder.seen == 4
    pipeline.eval()
    FeatureExtractor(pipeline.augmentation, pipeline.encoder)(torch.rand(5, 1, 16, 16))
    assert pipeline.encoder.seen == 16


def test_the_third_party_plugins_use_the_public_api_only():
    public = {"sslcore", "sslcore.signals"}
    for path in THIRD_PARTY.glob("*_p*.py"):
        if path.name == "example_plugin.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sslcore"):
                assert node.module in public, path
            if isinstance(node, ast.Import):
                assert not any(name.name.startswith("sslcore.") for name in node.names), path


def _recipe_and_shape(run, registry):
    return make_recipe(config=run.config(), registry=registry)[0], run.shape()
