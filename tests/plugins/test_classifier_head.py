"""The linear classifier."""

from __future__ import annotations

import pytest
import torch

from sslcore_classifier.head import Classifier


def features_of(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def moved(head: Classifier) -> Classifier:
    with torch.no_grad():
        for number, weight in enumerate(head.parameters(), 1):
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)))
    return head


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_features_of_any_views_become_a_logit_for_each_class(classes):
    assert Classifier(6, classes)(features_of(3, 4, 6))["logits"].shape == (3, 4, classes)


def test_at_first_all_classes_are_equally_likely():
    logits = Classifier(6, 5)(features_of(2, 4, 6))["logits"]
    torch.testing.assert_close(logits.softmax(-1), torch.full((2, 4, 5), 0.2))


def test_the_logits_are_an_affine_map_of_the_features():
    head, features = moved(Classifier(6, 3)), features_of(2, 4, 6)
    expected = features @ head.linear.weight.T + head.linear.bias
    torch.testing.assert_close(head(features)["logits"], expected)


def test_a_view_has_the_same_logits_wherever_it_stands():
    head, features = moved(Classifier(6, 3)), features_of(2, 4, 6)
    made = head(features)["logits"]
    torch.testing.assert_close(head(features[1:, 2:3])["logits"], made[1:, 2:3])
    torch.testing.assert_close(head(features.flip(0))["logits"], made.flip(0))


def test_weights_of_zero_are_trained():
    head = Classifier(6, 3)
    (head(features_of(2, 4, 6))["logits"] * features_of(2, 4, 3)).sum().backward()
    for name, weight in head.named_parameters():
        assert weight.grad.abs().sum() > 1e-3, name


def test_features_are_dropped_in_training_only_and_their_mean_is_kept():
    head = moved(Classifier(6, 3, dropout=0.5))
    features, whole = features_of(1, 2, 6), moved(Classifier(6, 3))
    many = features.expand(4000, -1, -1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = head(many)["logits"]
    assert made.std(0).min() > 0.1
    expected = whole(features)["logits"][0]
    torch.testing.assert_close(made.mean(0), expected, atol=0.2, rtol=0)
    torch.testing.assert_close(head.eval()(features)["logits"][0], expected)


@pytest.mark.parametrize("classes", [0, None])
def test_data_without_classes_is_an_error(classes):
    with pytest.raises(ValueError, match="class folders are labels"):
        Classifier(6, classes)
