"""A third party's masked autoencoder that uses the public API only."""

from __future__ import annotations

import ast
from pathlib import Path

import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.evaluation.evaluate import FeatureExtractor
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import METRICS
from sslcore.runs.metrics import read_metrics

THIRD_PARTY = Path(__file__).parents[1] / "third_party"
QUICK = {"training": {"epochs": 12, "batch_size": 128, "log_every": 4, "precision": "fp32"}}


def test_a_third_party_method_trains_and_its_loss_falls(registry, console):
    run = sslcore.train(
        "tiny-mae", settings=QUICK, registry=registry, console=console, evaluate=False
    )
    losses = [line["loss"] for line in read_metrics(run.path / METRICS)]
    assert losses[-1] < losses[0]
    recipe, _ = make_recipe(config=run.config(), registry=registry)
    before = build_pipeline(recipe, run.shape()).state_dict()
    after = load_checkpoint(run.checkpoints).tensors
    trained = [name for name in before if name.startswith("encoder.") and "weight" in name]
    assert all(not torch.equal(before[name], after[f"model/{name}"]) for name in trained)


def test_a_masked_encoder_sees_the_visible_patches_only(registry):
    recipe, _ = make_recipe(
        "tiny-mae", settings={"augmentation": {"ratio": 0.75}}, registry=registry
    )
    pipeline = build_pipeline(recipe, ImageShape(16, 1))
    pipeline(torch.rand(5, 1, 16, 16), random=sslcore.BatchRandom(0, 0, 5))
    assert pipeline.encoder.seen == 4
    pipeline.eval()
    FeatureExtractor(pipeline.augmentation, pipeline.encoder)(torch.rand(5, 1, 16, 16))
    assert pipeline.encoder.seen == 16


def test_the_third_party_plugins_use_the_public_api_only():
    public = {"sslcore", "sslcore.data", "sslcore.signals"}
    for path in THIRD_PARTY.glob("*_p*.py"):
        if path.name == "example_plugin.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sslcore"):
                assert node.module in public, path
            if isinstance(node, ast.Import):
                assert not any(name.name.startswith("sslcore.") for name in node.names), path
