"""Recent methods, each a plugin of one file that uses the public contract only."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.pipeline.build import build_data, build_pipeline
from sslcore.registry.discovery import of_file
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import METRICS
from sslcore.runs.metrics import read_metrics

FILES = sorted((Path(__file__).parents[1] / "third_party" / "recent").glob("*.py"))
#: What a plugin's author may import.
PUBLIC = {"sslcore", "sslcore.data", "sslcore.patches", "sslcore.signals"}
#: Two steps of the digits.
TWO_STEPS = {"epochs": 1, "batch_size": 512, "precision": "fp32", "log_every": 1}


def _loaded(registry, path):
    status = registry.load(of_file(str(path)))
    assert not status.error, status.traceback
    return sys.modules[path.stem]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_method_of_one_file_trains_and_moves_every_weight_of_its_encoder(path, registry, console):
    _loaded(registry, path)
    taught = {}
    if path.stem == "distill":
        quick = {"training": TWO_STEPS, "encoder": {"widths": (4, 8)}}
        teacher = sslcore.train(
            "simclr", settings=quick, registry=registry, console=console, evaluate=False
        )
        taught = {"teacher": {"path": str(teacher.path)}}
    run = sslcore.train(
        f"recent-{path.stem}",
        settings={"training": TWO_STEPS, **taught},
        registry=registry,
        console=console,
        evaluate=False,
    )
    losses = [line["loss"] for line in read_metrics(run.path / METRICS)]
    assert len(losses) == 2
    assert torch.tensor(losses).isfinite().all()
    recipe, _ = make_recipe(config=run.config(), registry=registry)
    train = build_data(recipe.data).train
    before = build_pipeline(recipe, run.shape(), train=train).state_dict()
    after = load_checkpoint(run.checkpoints).tensors
    weights = [name for name in before if name.startswith("encoder.") and "weight" in name]
    assert weights
    assert all(not torch.equal(before[name], after[f"model/{name}"]) for name in weights)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_method_of_one_file_uses_the_public_contract_only(path):
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sslcore"):
            assert node.module in PUBLIC
        if isinstance(node, ast.Import):
            assert all(not name.name.startswith("sslcore.") for name in node.names)
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_") or node.attr.startswith("__")


def test_the_documentation_counts_the_lines_of_every_file():
    text = (Path(__file__).parents[2] / "docs" / "publish.md").read_text(encoding="utf-8")
    counted = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", text, re.MULTILINE))
    lines = {path.stem: str(len(path.read_text("utf-8").splitlines())) for path in FILES}
    assert counted == lines
    assert len(lines) == 9


def _views(*shape):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _file(name):
    return next(path for path in FILES if path.stem == name)


def test_supcon_of_one_file_is_the_loss_of_the_shipped_plugin(registry):
    from sslcore_supcon.loss import SupervisedContrast

    projections, labels = _views(2, 9, 5), torch.arange(9) % 4
    found = _loaded(registry, _file("supcon")).SupCon()(projections, labels)
    torch.testing.assert_close(found, SupervisedContrast()(projections, labels))


def test_nnclr_of_one_file_is_the_loss_of_the_shipped_plugin_batch_by_batch(registry):
    from sslcore_nnclr.loss import NeighbourContrast

    own = _loaded(registry, _file("nnclr")).Neighbours(5, queue_size=12)
    shipped = NeighbourContrast(5, queue_size=12)
    for count in (4, 7, 5):
        projections, predictions = _views(2, 2, count, 5)
        wanted = shipped(projections, predictions)
        torch.testing.assert_close(own(projections, predictions), wanted)


def test_lejepa_of_one_file_is_the_loss_of_the_shipped_plugin(registry):
    from sslcore_jepa.regularizer import LeJEPA

    own, shipped = _loaded(registry, _file("lejepa")).LeJEPA().double(), LeJEPA(4, global_views=2)
    projections, random = _views(4, 9, 5), sslcore.BatchRandom(0, 3, 9)
    found, wanted = own(projections, random), shipped(projections, random)["loss"]
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)


def test_clusters_of_swav_hold_equally_many_images_and_get_no_gradient(registry):
    module = _loaded(registry, _file("swav"))
    codes = module.Swapped(epsilon=1.0, iterations=50).codes(_views(12, 4).tanh())
    torch.testing.assert_close(codes.sum(1), torch.ones(12).double())
    torch.testing.assert_close(codes.sum(0), torch.full((4,), 3.0).double())


def test_an_image_and_its_quarter_turns_are_the_views_of_rotnet(registry):
    module = _loaded(registry, _file("rotnet"))
    images = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    views = module.QuarterTurns(mean=0.0, std=1.0)(images)["views"]
    assert torch.equal(views[2], images.flip(-1, -2))
    assert torch.equal(views[1].rot90(-1, (-2, -1)), images)
