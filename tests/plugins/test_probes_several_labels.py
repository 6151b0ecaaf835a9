"""The linear probe and nearest neighbours on images with several labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from sslcore_probes.linear import LinearProbe
from sslcore_probes.mlp import MlpProbe
from sslcore_probes.nearest import Knn, Retrieval
from sslcore_probes.precision import mean_average_precision


def _scene(seed=0):
    """Features (300, 10) of 200 training and 100 test images, and labels (300, 4)."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(300, 10, generator=generator)
    mixed = features @ torch.randn(10, 4, generator=generator)
    labels = mixed + 2 * torch.randn(300, 4, generator=generator) > 2
    return features[:200], labels[:200], features[200:], labels[200:]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 40), st.integers(1, 6), st.booleans())
def test_mean_average_precision_is_that_of_scikit_learn(seed, images, classes, ties):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(images, classes, generator=generator)
    scores = scores.round() if ties else scores
    labels = torch.rand(images, classes, generator=generator) < 0.3
    labels[0, 0] = True
    present = labels.any(0)
    wanted = average_precision_score(
        labels[:, present].numpy(), scores[:, present].numpy(), average="macro"
    )
    assert mean_average_precision(scores, labels) == pytest.approx(wanted, abs=1e-9)


def test_images_without_any_class_have_no_precision():
    with pytest.raises(ValueError, match="no test image has a class"):
        mean_average_precision(torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.bool))


def test_the_linear_probe_fits_each_class_as_scikit_learn_does():
    train, train_labels, test, test_labels = _scene()
    deviation, mean = torch.std_mean(train, dim=0, correction=0)
    rows = [((each - mean) / deviation).numpy() for each in (train, test)]
    scores = [
        LogisticRegression(C=1 / 3, tol=1e-8).fit(rows[0], column).decision_function(rows[1])
        for column in train_labels.T.numpy()
    ]
    wanted = average_precision_score(test_labels.numpy(), np.stack(scores, 1), average="macro")
    found = LinearProbe(l2=3.0)(train, train_labels, test, test_labels, seed=0)
    # Two images whose scores are nearly equal may change places.
    assert found == {"linear_map": pytest.approx(wanted, abs=2e-3)}


def test_the_penalty_is_chosen_by_the_training_images():
    train, train_labels, test, test_labels = _scene()
    # Of noise, only the strongest penalty does no harm.
    noise = torch.cat([train, torch.randn(200, 150, generator=torch.Generator().manual_seed(3))], 1)
    tested = torch.cat([test, torch.randn(100, 150, generator=torch.Generator().manual_seed(4))], 1)
    chosen = LinearProbe()(noise, train_labels, tested, test_labels, seed=0)["linear_map"]
    weak = LinearProbe(l2=1e-2)(noise, train_labels, tested, test_labels, seed=0)["linear_map"]
    assert chosen > weak + 0.02


def test_neighbours_share_their_labels_by_weight():
    train, train_labels, test, test_labels = _scene()
    unit = [torch.nn.functional.normalize(each) for each in (train, test)]
    similarities = unit[1] @ unit[0].T
    near = similarities.topk(7)
    weights = (near.values / 0.1).softmax(1)
    shares = (weights[:, :, None] * train_labels[near.indices]).sum(1)
    wanted = average_precision_score(test_labels.numpy(), shares.numpy(), average="macro")
    found = Knn(k=7)(train, train_labels, test, test_labels)
    assert found == {"knn_map": pytest.approx(wanted, abs=2e-3)}


@pytest.mark.parametrize("probe", [LinearProbe(l2=1.0), Knn()])
def test_labels_of_other_columns_are_refused(probe):
    train, train_labels, test, test_labels = _scene()
    arguments = {"seed": 0} if isinstance(probe, LinearProbe) else {}
    with pytest.raises(ValueError, match="give both the same classes"):
        probe(train, train_labels, test, test_labels[:, :3], **arguments)
    with pytest.raises(ValueError, match="must be of shape"):
        probe(train, train_labels.float(), test, test_labels.float(), **arguments)


def test_probes_of_one_label_do_not_claim_several():
    claims = {probe: getattr(probe, "several_labels", False) for probe in (MlpProbe, Retrieval)}
    assert not any(claims.values())
    assert LinearProbe.several_labels
    assert Knn.several_labels
