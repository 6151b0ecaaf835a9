"""The final table always shows the trained encoder with its baselines."""

from __future__ import annotations

import io
import json

import pytest
import torch
from rich.console import Console

import sslcore
from sslcore.errors import UsageError
from sslcore.evaluation.table import is_best, lead, print_table, verdict
from sslcore.runs.folder import ENCODER


def _train(registry, console, **options):
    return sslcore.train("agreement", data="noise", registry=registry, console=console, **options)


def test_a_run_ends_with_a_table_of_three_columns(registry, console, tiny):
    run = _train(registry, console, settings=tiny, evaluators=["nearest-mean", "knn"])
    table = json.loads((run.path / "evaluation.json").read_text())
    assert table.pop("details").keys() == {"nearest_mean_top1", "knn_top1"}
    assert list(table) == ["encoder", "random_init", "pixels"]
    for column in table.values():
        assert list(column) == ["nearest_mean_top1", "knn_top1"]


def test_evaluating_again_gives_the_same_figures_and_adds_new_ones(registry, console, tiny):
    run = _train(registry, console, settings=tiny, evaluators=["knn"])
    before = run.read_evaluation()
    options = {"registry": registry, "console": console}
    assert sslcore.evaluate(run.path, **options) == before
    added = sslcore.evaluate(run.path, evaluators=["nearest-mean"], **options)
    assert list(added["pixels"]) == ["nearest_mean_top1"]
    assert list(run.read_evaluation()["encoder"]) == ["knn_top1", "nearest_mean_top1"]
    assert run.read_evaluation()["encoder"]["knn_top1"] == before["encoder"]["knn_top1"]


def test_evaluating_trains_nothing(registry, console, tiny):
    run = _train(registry, console, settings=tiny, evaluators=["knn"])
    weights = (run.path / ENCODER).read_bytes()
    sslcore.evaluate(run.path, registry=registry, console=console)
    assert (run.path / ENCODER).read_bytes() == weights


def test_a_run_that_learned_nothing_is_told_so(registry, console):
    # One step at a vanishing learning rate: the encoder does not change.
    settings = {"training": {"epochs": 1, "batch_size": 48}, "optimizer": {"lr": 1e-12}}
    _train(registry, console, settings=settings, evaluators=["knn"])
    said = console.file.getvalue()
    assert "the trained encoder is not better than the untrained encoder: knn_top1" in said


def test_the_verdict_knows_that_an_error_is_better_when_lower():
    better = {"encoder": {"a": 0.9, "x_mse": 0.1}, "random_init": {"a": 0.5, "x_mse": 0.2}}
    assert verdict({**better, "pixels": {"a": 0.8}}, {}) == ""
    worse = {"encoder": {"a": 0.9, "x_mse": 0.3}, "random_init": {"a": 0.5, "x_mse": 0.2}}
    assert verdict({**worse, "pixels": {"a": 0.95}}, {}) == (
        "the trained encoder is not better than the untrained encoder: x_mse; "
        "not better than raw pixels: a"
    )


def test_the_printed_table_has_a_row_per_metric_with_its_spread():
    table = {
        "encoder": {"top1": 0.93, "top1_std": 0.01},
        "random_init": {"top1": 0.87, "top1_std": 0.02},
        "pixels": {"top1": 0.83, "top1_std": 0.03},
    }
    console = Console(file=io.StringIO(), width=100)
    print_table(table, {}, console)
    lines = console.file.getvalue().splitlines()
    assert lines[0].split() == ["metric", "trained", "untrained", "pixels"]
    assert lines[1].split() == ["top1", "0.930", "±0.010", "0.870", "±0.020", "0.830", "±0.030"]
    assert len(lines) == 2


def test_a_difference_within_the_spread_is_neither_bold_nor_without_a_warning():
    table = {
        "encoder": {"knn_top1": 0.85},
        "random_init": {"knn_top1": 0.80},
        "pixels": {"knn_top1": 0.60},
    }
    few, many = ({"knn_top1": {"test_images": count}} for count in (41, 10_000))
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    print_table(table, many, console)
    assert "\x1b[1m  0.850\x1b[0m" in console.file.getvalue()
    assert "[bold]" not in console.file.getvalue()
    assert is_best(table, "knn_top1", 10_000)
    assert not is_best(table, "knn_top1", 41)
    assert verdict(table, many) == ""
    assert verdict(table, few) == (
        "the trained encoder is not clearly better than the untrained encoder: knn_top1 "
        "(not clearly: within the spread)"
    )


def test_the_lead_over_a_baseline_has_a_sign_and_the_spread_of_the_difference():
    table = {
        "encoder": {"knn_top1": 0.85, "x_mse": 0.1},
        "random_init": {"knn_top1": 0.80, "x_mse": 0.3},
        "pixels": {"knn_top1": 0.90},
    }
    assert lead(table, "knn_top1", "random_init", 41) == "+0.05 ±0.09"
    assert lead(table, "knn_top1", "pixels", 41) == "-0.05 ±0.08"
    # An error is better when it is lower.
    assert lead(table, "x_mse", "random_init", 41) == "+0.2000"
    assert lead(table, "x_mse", "pixels", 41) == "–"


def test_of_an_encoder_that_began_with_trained_weights_nothing_is_called_untrained():
    table = {"encoder": {"a": 0.5}, "random_init": {"a": 0.6}}
    details = {"a": {"pretrained": True}}
    console = Console(file=io.StringIO(), width=100)
    print_table(table, details, console)
    assert "as it began" in console.file.getvalue()
    assert verdict(table, details) == (
        "the trained encoder is not better than the encoder as it began: a"
    )


def test_a_loaded_encoder_gives_the_features_that_were_evaluated(registry, console, tiny):
    run = _train(registry, console, settings=tiny, evaluators=["knn"])
    encoder = sslcore.load_encoder(run.path, registry=registry)
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    features = encoder(images)
    assert features.shape == (5, 64)
    assert torch.allclose(features, encoder(images.float() / 255))
    assert not encoder.training
    alone = torch.cat([encoder(image[None]) for image in images])
    assert torch.allclose(features, alone, atol=1e-6)


def test_clips_are_evaluated_by_the_mean_of_their_frames(registry, console):
    settings = {
        "training": {"epochs": 1, "batch_size": 128, "precision": "fp32"},
        "encoder": {"widths": [4, 8]},
    }
    run = sslcore.train(
        "cpc",
        data="moving-digits",
        settings=settings,
        evaluators=["knn"],
        registry=registry,
        console=console,
    )
    encoder = sslcore.load_encoder(run.path, registry=registry)
    shape = run.shape()
    clip = torch.rand(2, shape.num_frames, 1, shape.image_size, shape.image_size)
    views = encoder.augmentation(clip)["views"]
    expected = torch.stack([encoder.encoder(view)["features"] for view in views]).mean(0)
    assert torch.allclose(encoder(clip), expected, atol=1e-6)


def test_an_unknown_setting_of_an_evaluator_is_named(registry, console, tiny):
    run = _train(registry, console, settings=tiny, evaluators=["knn"])
    with pytest.raises(UsageError, match="no chosen evaluator has such a setting"):
        sslcore.evaluate(
            run.path, settings={"evaluator": {"kk": 1}}, registry=registry, console=console
        )
