"""The prediction head: a projector, and a predictor on top of it."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from sslcore_byol.heads import Prediction

SMALL = {"hidden": (7,), "dim": 5, "predictor_hidden": (4,)}


def features_of(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def widths_of(layers: nn.Module) -> list[tuple[int, int]]:
    return [
        (layer.in_features, layer.out_features)
        for layer in layers.modules()
        if isinstance(layer, nn.Linear)
    ]


def normalised(layers: nn.Module) -> list[tuple[int, bool]]:
    return [
        (layer.num_features, layer.affine)
        for layer in layers.modules()
        if isinstance(layer, nn.BatchNorm1d)
    ]


def on_paper(**settings) -> Prediction:
    """The published head on the meta device, without memory for its weights."""
    with torch.device("meta"):
        return Prediction(2048, **settings)


def test_by_default_it_is_byol_s():
    head = on_paper()
    assert widths_of(head.projector) == [(2048, 4096), (4096, 256)]
    assert widths_of(head.predictor) == [(256, 4096), (4096, 256)]
    assert normalised(head.projector) == normalised(head.predictor) == [(4096, True)]


def test_simsiam_s_has_three_layers_a_normalised_output_and_a_bottleneck():
    head = on_paper(hidden=(2048, 2048), dim=2048, predictor_hidden=(512,), norm_output=True)
    assert widths_of(head.projector) == [(2048, 2048)] * 3
    assert normalised(head.projector) == [(2048, True), (2048, True), (2048, False)]
    assert widths_of(head.predictor) == [(2048, 512), (512, 2048)]
    assert normalised(head.predictor) == [(512, True)]


def test_moco_v3_s_normalises_every_layer():
    head = on_paper(hidden=(4096, 4096), dim=256, norm_output=True, norm_predictions=True)
    assert widths_of(head.projector) == [(2048, 4096), (4096, 4096), (4096, 256)]
    assert normalised(head.projector) == [(4096, True), (4096, True), (256, False)]
    assert widths_of(head.predictor) == [(256, 4096), (4096, 256)]
    assert normalised(head.predictor) == [(4096, True), (256, False)]


@pytest.mark.parametrize("hidden", [(), (7,), (12, 3)])
@pytest.mark.parametrize("predictor_hidden", [(), (4,)])
def test_features_of_any_views_become_projections_and_predictions_of_one_length(
    hidden, predictor_hidden
):
    head = Prediction(6, hidden=hidden, dim=5, predictor_hidden=predictor_hidden)
    made = head(features_of(3, 4, 6))
    assert {name: item.shape for name, item in made.items()} == {
        "projections": (3, 4, 5),
        "predictions": (3, 4, 5),
    }


def test_predictions_are_made_of_the_projections_and_of_nothing_else():
    head, features = Prediction(6, **SMALL).eval(), features_of(2, 4, 6)
    made = head(features)
    again = head.predictor(made["projections"].flatten(0, 1)).unflatten(0, (2, 4))
    assert torch.equal(made["predictions"], again)


def test_the_projector_learns_of_the_predictions_alone():
    # If a loss detaches the projections, this is the projector's only gradient.
    head = Prediction(6, **SMALL)
    (head(features_of(2, 8, 6))["predictions"] * features_of(2, 8, 5)).sum().backward()
    assert head.projector[0].weight.grad.abs().sum() > 1e-4
    assert head.projector[-1].weight.grad.abs().sum() > 1e-4


@pytest.mark.parametrize("name", ["projections", "predictions"])
@pytest.mark.parametrize("normal", [False, True])
def test_each_output_is_normalised_over_the_batch_only_where_asked_for(name, normal):
    setting = {"projections": "norm_output", "predictions": "norm_predictions"}[name]
    # Large features, so that the ε of the normalisation does not show.
    made = Prediction(6, **SMALL, **{setting: normal})(100 * features_of(2, 64, 6))
    rows = made[name].flatten(0, 1)
    even = torch.allclose(rows.mean(0), torch.zeros(5), atol=1e-4) and torch.allclose(
        rows.std(0, correction=0), torch.ones(5), atol=1e-2
    )
    assert even == normal


def test_batch_statistics_are_those_of_all_views_together():
    head = Prediction(6, **SMALL)
    features = torch.stack((features_of(8, 6), features_of(8, 6) * 3 + 10))
    hidden = head.projector[0](features).flatten(0, 1)
    head(features)
    torch.testing.assert_close(head.projector[1].running_mean, 0.1 * hidden.mean(0))


def test_every_setting_is_explained():
    lines = (inspect.getdoc(Prediction) or "").splitlines()
    for name in list(inspect.signature(Prediction).parameters):
        assert any(line.strip().startswith(f"{name}:") for line in lines), name
