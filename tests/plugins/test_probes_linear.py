"""The linear probe: its solver against scikit-learn, its penalty, and its few-label draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from sslcore_probes import linear, penalty
from sslcore_probes.linear import LinearProbe, draw_per_class
from sslcore_probes.penalty import choose_penalty
from sslcore_probes.scaling import standardize
from sslcore_probes.softmax_regression import fit, logits


def _problem(seed, count=60, dimensions=8, classes=4, signal=1.0, dtype=torch.float64):
    """Return features (N, F) of zero mean and unit deviation, and targets (N,)."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % classes
    means = torch.randn(classes, dimensions, generator=generator)
    noise = torch.randn(count, dimensions, generator=generator)
    return standardize((signal * means[targets] + noise).to(dtype), noise)[0], targets


def _objective(weights, features, targets, l2):
    cross_entropy = F.cross_entropy(logits(features, weights).T, targets, reduction="sum")
    return cross_entropy + l2 / 2 * weights[:, :-1].square().sum()


@pytest.mark.parametrize("l2", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("dimensions", [5, 40, 200])
def test_the_weights_are_those_of_scikit_learn(dimensions, l2):
    features, targets = _problem(0, dimensions=dimensions)
    weights = fit(features[None], targets[None], 4, l2=l2, tolerance=1e-14, max_iterations=5000)[0]
    other = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=20_000).fit(features, targets)
    np.testing.assert_allclose(weights[:, :-1], other.coef_, atol=2e-4)
    np.testing.assert_allclose(weights[:, -1], other.intercept_, atol=2e-4)


def test_two_classes_are_the_binary_regression_of_half_the_penalty():
    features, targets = _problem(1, classes=2)
    low, high = fit(features[None], targets[None], 2, l2=2.0, tolerance=1e-14)[0]
    other = LogisticRegression(C=1.0, tol=1e-10, max_iter=20_000).fit(features, targets)
    np.testing.assert_allclose((high - low)[None, :-1], other.coef_, atol=1e-4)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.sampled_from([0.1, 1.0, 10.0]), st.sampled_from([0.0, 1.0, 20.0]))
def test_no_direction_lowers_the_objective_at_the_solution(seed, l2, signal):
    features, targets = _problem(seed, signal=signal)
    weights = fit(features[None], targets[None], 4, l2=l2, tolerance=1e-12)[0].requires_grad_()
    _objective(weights, features, targets, l2).backward()
    assert weights.grad.abs().max() < 1e-3


def test_in_float32_the_default_tolerance_comes_close_to_the_least_objective():
    features, targets = _problem(0, count=300, dimensions=30, dtype=torch.float32)
    near = fit(features[None], targets[None], 4, l2=1.0)[0].double()
    exact = fit(features.double()[None], targets[None], 4, l2=1.0, tolerance=1e-14)[0]
    excess = [_objective(weights, features.double(), targets, 1.0) for weights in (near, exact)]
    assert 0 <= excess[0] - excess[1] < 300 * 1e-5


def test_problems_solved_together_are_those_solved_alone():
    # One problem is separable and slow, one is noise and fast.
    problems = [_problem(seed, signal=signal) for seed, signal in ((0, 30.0), (1, 0.0), (2, 1.0))]
    features = torch.stack([features for features, _ in problems])
    targets = torch.stack([targets for _, targets in problems])
    together = fit(features, targets, 4, l2=0.1, tolerance=1e-12)
    for index in range(3):
        rows = slice(index, index + 1)
        alone = fit(features[rows], targets[rows], 4, l2=0.1, tolerance=1e-12)
        torch.testing.assert_close(together[rows], alone, atol=1e-3, rtol=1e-3)


def test_seeking_in_the_span_of_few_samples_loses_nothing():
    features, targets = _problem(0, count=12, dimensions=50)
    start = torch.zeros(1, 4, 51, dtype=torch.float64)
    options = {"l2": 0.5, "tolerance": 1e-14, "max_iterations": 2000}
    everywhere = fit(features[None], targets[None], 4, start=start, **options)
    in_span = fit(features[None], targets[None], 4, **options)
    torch.testing.assert_close(in_span, everywhere, atol=1e-4, rtol=1e-4)


def test_where_the_search_starts_makes_no_difference():
    features, targets = _problem(0)
    generator = torch.Generator().manual_seed(5)
    start = torch.randn(1, 4, 9, generator=generator, dtype=torch.float64) * 3
    start -= start.mean(1, keepdim=True)
    found = fit(features[None], targets[None], 4, l2=1.0, start=start, tolerance=1e-14)
    expected = fit(features[None], targets[None], 4, l2=1.0, tolerance=1e-14)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_asking_for_more_than_float32_can_tell_stays_at_the_solution():
    features, targets = _problem(0, dtype=torch.float32)
    found = fit(features[None], targets[None], 4, l2=1.0, tolerance=0.0, max_iterations=1000)
    expected = fit(features.double()[None], targets[None], 4, l2=1.0, tolerance=1e-14)
    torch.testing.assert_close(found.double(), expected, atol=1e-3, rtol=1e-3)


def test_the_probe_scores_as_scikit_learn_does():
    features, targets = _problem(0, count=600, dimensions=20, signal=0.4, dtype=torch.float32)
    train, test = standardize(features[:400], features[400:])
    other = LogisticRegression(C=0.5, tol=1e-8, max_iter=5000).fit(train, targets[:400])
    probe = LinearProbe(l2=2.0, labels_per_class=0)
    metrics = probe(features[:400], targets[:400], features[400:], targets[400:], seed=0)
    expected = other.score(test, targets[400:])
    assert 0.4 < expected < 0.9
    assert metrics == {"linear_top1": pytest.approx(expected, abs=0.0051)}


def test_each_column_may_have_a_scale_and_an_offset_of_its_own():
    features, targets = _problem(0, count=300, dtype=torch.float32)
    scales, offsets = 10.0 ** torch.linspace(-20, 20, 8), torch.linspace(-5, 5, 8)
    moved = (features + offsets) * scales
    scores = [
        LinearProbe(draws=3)(x[:200], targets[:200], x[200:], targets[200:], seed=0)
        for x in (features, moved)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.011)


def test_the_held_out_part_chooses_a_strong_penalty_for_noise_and_a_weak_one_for_signal():
    noise = choose_penalty(*_problem(0, count=200, dimensions=50, signal=0.0), 4)
    signal = choose_penalty(*_problem(0, count=200, dimensions=50, signal=3.0), 4)
    assert noise[0] >= 100
    assert signal[0] <= 1
    assert signal[1].shape == (1, 4, 51)


def test_the_chosen_penalty_beats_a_bad_one_on_images_not_seen():
    features, targets = _problem(0, count=600, dimensions=150, signal=0.1, dtype=torch.float32)
    data = features[:300], targets[:300], features[300:], targets[300:]
    chosen, weak = (
        LinearProbe(l2=l2, labels_per_class=0)(*data, seed=0)["linear_top1"] for l2 in (None, 1e-3)
    )
    assert chosen > weak + 0.05


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.integers(0, 2**31))
def test_every_class_stays_in_the_part_that_is_fitted(sizes, seed):
    targets = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(targets), 3, generator=generator)
    fitted, held_out = penalty.split(features, targets, len(sizes))
    assert sorted([*fitted.tolist(), *held_out.tolist()]) == list(range(len(targets)))
    for index, size in enumerate(sizes):
        assert (targets[fitted] == index).any()
        assert (targets[held_out] == index).sum() == (size + 2) // 5


def test_a_large_training_set_is_thinned_before_the_penalty_is_chosen(monkeypatch):
    monkeypatch.setattr(penalty, "_SAMPLES", 50)
    features, targets = _problem(0, count=203)
    fitted, held_out = penalty.split(features, targets, 4)
    assert not set(fitted.tolist()) & set(held_out.tolist())
    assert 40 <= len(fitted) + len(held_out) <= 50 + 4
    assert len(held_out) == pytest.approx(len(fitted) / 4, abs=2)


def test_the_split_is_of_images_and_not_of_positions():
    features, targets = _problem(0)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    _, before = penalty.split(features, targets, 4)
    _, after = penalty.split(features[order], targets[order], 4)
    assert set(order[after].tolist()) == set(before.tolist())


def test_too_few_images_to_hold_any_out_are_fitted_all_the_same():
    features, targets = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    assert choose_penalty(features, targets, 2) == (1.0, None)
    metrics = LinearProbe()(features, targets, features, targets, seed=0)
    assert metrics["linear_top1"] == metrics["linear_top1_5_per_class"] == 1


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=5),
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(0, 2**31),
)
def test_a_draw_has_so_many_images_of_each_class_or_all_there_are(sizes, per_class, draws, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    targets = targets[torch.randperm(len(targets), generator=generator)]
    rows = draw_per_class(targets, per_class, draws, generator)
    assert len(rows) == draws
    for row in rows:
        assert len(set(row.tolist())) == len(row)
        counts = targets[row].bincount(minlength=len(sizes)).tolist()
        assert counts == [min(size, per_class) for size in sizes]


def test_every_image_is_drawn_as_often_as_any_other_of_its_class():
    targets = torch.tensor([0] * 4 + [1] * 8)
    rows = draw_per_class(targets, 2, 4000, torch.Generator().manual_seed(0))
    share = rows.flatten().bincount(minlength=12) / 4000
    expected = torch.tensor([0.5] * 4 + [0.25] * 8)
    assert torch.allclose(share, expected, atol=5 * 0.5 / 4000**0.5)


def _few(seed=0, **options):
    features, targets = _problem(0, count=300, dtype=torch.float32)
    probe = LinearProbe(**options)
    return probe(features[:200], targets[:200], features[200:], targets[200:], seed=seed)


def test_the_metrics_are_named_by_the_labels_per_class():
    assert list(_few()) == ["linear_top1", "linear_top1_5_per_class", "linear_top1_5_per_class_std"]
    assert list(_few(labels_per_class=2))[1:] == [
        "linear_top1_2_per_class",
        "linear_top1_2_per_class_std",
    ]
    assert list(_few(labels_per_class=0)) == ["linear_top1"]


def test_the_seed_draws_the_few_labels_and_nothing_else():
    first, second = _few(seed=0), _few(seed=1)
    assert first["linear_top1"] == second["linear_top1"]
    assert first["linear_top1_5_per_class"] != second["linear_top1_5_per_class"]


def test_the_few_label_figures_are_mean_and_deviation_over_scikit_learn_fits(monkeypatch):
    drawn = []

    def recorded(*arguments):
        drawn.append(draw_per_class(*arguments))
        return drawn[-1]

    monkeypatch.setattr(linear, "draw_per_class", recorded)
    metrics = _few(draws=4)
    features, targets = _problem(0, count=300, dtype=torch.float32)
    train, test = standardize(features[:200], features[200:])
    expected = [
        LogisticRegression(C=1.0, tol=1e-8, max_iter=5000)
        .fit(train[row], targets[row])
        .score(test, targets[200:])
        for row in drawn[0]
    ]
    assert metrics["linear_top1_5_per_class"] == pytest.approx(np.mean(expected), abs=0.003)
    deviation = np.std(expected, ddof=1)
    assert metrics["linear_top1_5_per_class_std"] == pytest.approx(deviation, abs=0.003)


def test_as_many_labels_as_there_are_give_the_figure_of_all_labels():
    metrics = _few(labels_per_class=1000, draws=2, l2=1.0)
    assert metrics["linear_top1_1000_per_class"] == pytest.approx(metrics["linear_top1"], abs=0.011)
    assert metrics["linear_top1_1000_per_class_std"] == pytest.approx(0, abs=0.01)


def test_a_single_draw_has_no_spread():
    assert _few(draws=1)["linear_top1_5_per_class_std"] == 0


def test_draws_solved_in_parts_give_the_same(monkeypatch):
    whole = _few()
    monkeypatch.setattr(linear, "_BLOCK", 1)
    assert _few() == pytest.approx(whole, abs=0.002)
