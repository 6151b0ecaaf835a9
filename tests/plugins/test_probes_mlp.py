"""The MLP probe: a problem beyond a linear probe, and its random numbers."""

from __future__ import annotations

import pytest
import torch

from sslcore_probes.linear import LinearProbe
from sslcore_probes.mlp import MlpProbe, _dropout, _initial, _logits


def _exclusive_or(seed=0, count=400):
    features = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return features, (features[:, 0] * features[:, 1] > 0).long()


def _score(seed=0, **options):
    probe = MlpProbe(**{"widths": (32, 16), "epochs": 40, "batch_size": 32, "lr": 0.01, **options})
    return probe(*_exclusive_or(0), *_exclusive_or(1), seed=seed)["mlp_top1"]


def test_it_learns_what_no_linear_probe_can():
    linear = LinearProbe(labels_per_class=0)(*_exclusive_or(0), *_exclusive_or(1), seed=0)
    assert linear["linear_top1"] < 0.65
    assert _score() > 0.9


def test_without_hidden_layers_it_is_linear():
    assert _score(widths=()) < 0.65


def test_the_seed_is_the_only_source_of_chance():
    short = {"epochs": 2, "dropout": 0.5}
    scores = {_score(seed=seed, **short) for seed in range(4)}
    assert len(scores) > 1
    torch.manual_seed(7)
    assert _score(seed=0, **short) == _score(seed=0, **short)


def test_dropout_drops_the_share_asked_for_and_keeps_the_mean():
    factors = _dropout(200, 500, 0.2, torch.Generator().manual_seed(0))
    assert set(factors.unique().tolist()) == {0.0, 1.25}
    # 100,000 units: five standard deviations of the mean are 5 * 0.5 / 316.
    assert factors.mean().item() == pytest.approx(1, abs=0.008)


@pytest.mark.parametrize("dropped", [0, 1])
def test_a_dropped_unit_is_one_that_the_next_layer_does_not_see(dropped):
    layers = _initial([3, 4, 5, 2], torch.Generator().manual_seed(0), torch.device("cpu"))
    features = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    scales = [torch.ones(6, 4), torch.ones(6, 5)]
    assert torch.equal(_logits(features, layers, scales), _logits(features, layers))
    scales[dropped][:, 2] = 0
    after = _logits(features, layers, scales)
    assert not torch.equal(after, _logits(features, layers))
    layers[dropped + 1][0][:, 2] = 0
    assert torch.equal(after, _logits(features, layers))


def test_a_training_set_smaller_than_a_batch_is_trained_on():
    features, labels = torch.eye(12), torch.arange(12)
    probe = MlpProbe(widths=(), epochs=60, batch_size=100, lr=0.1, weight_decay=0.0)
    assert probe(features, labels, features, labels, seed=0) == {"mlp_top1": 1.0}
