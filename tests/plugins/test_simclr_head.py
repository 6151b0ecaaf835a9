"""The projection head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sslcore_simclr.heads import Projection


def features_of(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("hidden", [(), (7,), (12, 3)])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_features_of_any_views_become_projections_of_the_length_asked_for(hidden, batch_norm):
    head = Projection(6, hidden=hidden, dim=5, batch_norm=batch_norm)
    assert head(features_of(3, 4, 6))["projections"].shape == (3, 4, 5)
    widths = [layer.out_features for layer in head.modules() if isinstance(layer, nn.Linear)]
    assert widths == [*hidden, 5]


def test_without_hidden_layers_the_head_is_linear():
    head, features = Projection(6, hidden=(), dim=5), features_of(2, 4, 6)
    zero = head(torch.zeros(2, 4, 6))["projections"]
    doubled = head(2 * features)["projections"] - zero
    torch.testing.assert_close(doubled, 2 * (head(features)["projections"] - zero))


def test_a_view_is_projected_the_same_wherever_it_stands():
    head, features = Projection(6, hidden=(7,), dim=5), features_of(2, 4, 6)
    made = head(features)["projections"]
    torch.testing.assert_close(head(features.flip(0))["projections"], made.flip(0))
    torch.testing.assert_close(head(features[1:, 2:3])["projections"], made[1:, 2:3])


def test_batch_statistics_are_those_of_all_views_together():
    head = Projection(6, hidden=(6,), dim=6, batch_norm=True)
    features = torch.stack((features_of(8, 6), features_of(8, 6) * 3 + 10))
    hidden = head.layers[0](features).flatten(0, 1)
    head(features)
    norm = head.layers[1]
    torch.testing.assert_close(norm.running_mean, 0.1 * hidden.mean(0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * hidden.var(0))


def test_a_hidden_layer_has_a_bias_unless_batch_norm_follows_and_takes_it_away():
    for batch_norm in (False, True):
        head = Projection(6, hidden=(7, 8), dim=5, batch_norm=batch_norm)
        biases = [m.bias is not None for m in head.modules() if isinstance(m, nn.Linear)]
        assert biases == [not batch_norm, not batch_norm, True]


def test_projections_have_unit_length_if_asked_for_and_keep_their_direction():
    plain, unit = Projection(6, dim=5), Projection(6, dim=5, normalize=True)
    unit.load_state_dict(plain.state_dict())
    features = features_of(2, 4, 6)
    made = unit(features)["projections"]
    torch.testing.assert_close(made.norm(dim=-1), torch.ones(2, 4))
    expected = plain(features)["projections"]
    torch.testing.assert_close(made * expected.norm(dim=-1, keepdim=True), expected)


def test_every_weight_of_the_head_is_trained():
    for batch_norm in (False, True):
        head = Projection(6, hidden=(7, 8), dim=5, batch_norm=batch_norm)
        head(features_of(2, 16, 6))["projections"].square().sum().backward()
        for name, weight in head.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.abs().sum() > 1e-6, name


def test_projections_can_be_normalised_over_the_batch_with_a_scale_and_no_shift():
    head = Projection(6, hidden=(7,), dim=5, norm_output=True)
    with torch.no_grad():
        head.layers[-1].weight.fill_(3.0)
    made = head(10 + features_of(2, 40, 6))["projections"].flatten(0, 1)
    torch.testing.assert_close(made.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(made.std(0, correction=0), torch.full((5,), 3.0), atol=1e-2, rtol=0)
    norm, last = head.layers[-1], head.layers[-2]
    assert norm.bias is None
    assert last.bias is None
