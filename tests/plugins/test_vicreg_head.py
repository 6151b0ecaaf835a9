"""The expander."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from sslcore_vicreg.heads import Expander


def features_of(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def widths_of(head: Expander) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in head.modules() if isinstance(m, nn.Linear)]


def test_by_default_it_has_three_layers_of_8192_of_which_two_are_normalised():
    # Without memory for its weights, which are 600 MB.
    with torch.device("meta"):
        head = Expander(2048)
    assert widths_of(head) == [(2048, 8192), (8192, 8192), (8192, 8192)]
    norms = [m.num_features for m in head.modules() if isinstance(m, nn.BatchNorm1d)]
    assert norms == [8192, 8192]
    assert isinstance(head.layers[-1], nn.Linear)


@pytest.mark.parametrize("hidden", [(), (7,), (12, 3)])
def test_features_of_any_views_become_projections_of_the_length_asked_for(hidden):
    head = Expander(6, hidden=hidden, dim=20)
    assert head(features_of(3, 4, 6))["projections"].shape == (3, 4, 20)
    assert [width for _, width in widths_of(head)] == [*hidden, 20]


def test_batch_statistics_are_those_of_all_views_together():
    head = Expander(6, hidden=(6,), dim=6)
    features = torch.stack((features_of(8, 6), features_of(8, 6) * 3 + 10))
    hidden = head.layers[0](features).flatten(0, 1)
    head(features)
    torch.testing.assert_close(head.layers[1].running_mean, 0.1 * hidden.mean(0))


def test_every_setting_is_explained():
    lines = (inspect.getdoc(Expander) or "").splitlines()
    for name in list(inspect.signature(Expander).parameters):
        assert any(line.strip().startswith(f"{name}:") for line in lines), name
