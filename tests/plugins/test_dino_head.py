"""The head of DINO: cosines with prototypes, which are frozen at first."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from sslcore_dino.head import Prototypes


def head_of(**settings) -> Prototypes:
    torch.manual_seed(0)
    return Prototypes(6, hidden=(8,), bottleneck=5, dim=7, **settings)


def features_of(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_projections_are_cosines_with_the_prototypes():
    head, features = head_of(), features_of(3, 4, 6)
    made = head(features)["projections"]
    assert made.shape == (3, 4, 7)
    compared = head.layers(features)
    for k, prototype in enumerate(head.prototypes):
        expected = F.cosine_similarity(compared, prototype.expand_as(compared), dim=-1)
        torch.testing.assert_close(made[..., k], expected)


def test_the_length_of_a_prototype_does_not_matter():
    head, features = head_of(), features_of(2, 4, 6)
    made = head(features)["projections"]
    with torch.no_grad():
        head.prototypes.mul_(torch.arange(1, 8)[:, None])
    torch.testing.assert_close(head(features)["projections"], made)


def test_prototypes_stand_still_for_the_first_part_of_training():
    for progress, moves in ((0.0, False), (0.19, False), (0.2, True), (1.0, True)):
        head = head_of(freeze=0.2)
        head(features_of(2, 4, 6), progress)["projections"].square().sum().backward()
        assert (head.prototypes.grad is not None) == moves
        assert all(layer.weight.grad is not None for layer in head.layers[::2])


def test_batch_norm_normalises_hidden_layers_over_all_views():
    head, features = head_of(batch_norm=True), features_of(2, 16, 6)
    head(features)
    hidden = head.layers[0](features.flatten(0, 1))
    torch.testing.assert_close(head.layers[1].running_mean, 0.1 * hidden.mean(0))
