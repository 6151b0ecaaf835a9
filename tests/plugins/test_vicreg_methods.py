"""VICReg and Barlow Twins as methods: they learn, and keep every dimension of the projections."""

from __future__ import annotations

import pytest
import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.pipeline.build import build_pipeline
from sslcore.registry.registry import default_registry
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import METRICS
from sslcore.runs.metrics import read_metrics
from sslcore.training.state import restore_weights

QUICK = {
    "encoder": {"widths": (8, 16)},
    "head": {"hidden": (32, 32), "dim": 24},
    "training": {"epochs": 4, "batch_size": 128, "log_every": 4, "precision": "fp32"},
}


def _trained(method, console, **more):
    return sslcore.train(
        method,
        settings={**QUICK, **more},
        registry=default_registry(),
        console=console,
        evaluate=False,
    )


@pytest.mark.parametrize("method", ["vicreg", "barlow-twins"])
def test_it_trains_every_layer_and_its_loss_falls(method, console):
    run = _trained(method, console)
    losses = [line["loss"] for line in read_metrics(run.path / METRICS)]
    assert losses[-1] < 0.95 * losses[0]
    recipe, _ = make_recipe(config=run.config(), registry=default_registry())
    pipeline = build_pipeline(recipe, run.shape())
    after = load_checkpoint(run.checkpoints).tensors
    weights = [name for name, _ in pipeline.named_parameters() if name.endswith("weight")]
    before = pipeline.state_dict()
    assert all(not torch.equal(before[name], after[f"model/{name}"]) for name in weights)


def test_without_the_variance_term_the_projections_spread_less(console):
    spreads = []
    for weight in (25.0, 0.0):
        run = _trained("vicreg", console, loss={"variance": weight})
        recipe, _ = make_recipe(config=run.config(), registry=default_registry())
        pipeline = build_pipeline(recipe, run.shape())
        restore_weights(pipeline, load_checkpoint(run.checkpoints))
        images = torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        signals = pipeline(images, random=sslcore.BatchRandom(0, 0, 64))
        spreads.append(signals["projections"][0].std(0).mean().item())
    assert spreads[1] < 0.6 * spreads[0]


@pytest.mark.parametrize("method", ["vicreg", "barlow-twins"])
def test_the_head_is_that_of_the_papers_unless_told_otherwise(method):
    entry = default_registry().resolve("method", method)
    assert entry.record.head == "expander"
    assert "head" not in entry.record.settings
