"""CPC: a float64 loop as reference, closed forms, invariances."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sslcore_cpc.losses import CPC, cpc

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
NEGATIVES: list[Literal["images", "positions"]] = ["images", "positions"]
checked = settings(deadline=None, max_examples=15)


def normals(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@st.composite
def sequences(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Step predictions (K, V, B, F) and features (V, B, F) in float64."""
    views = draw(st.integers(2, 5))
    steps = draw(st.integers(1, views - 1))
    batch, size = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    drawn = normals(steps + 1, views, batch, size, seed=draw(st.integers(0, 2**31)))
    return drawn[:-1], drawn[-1]


def valid_pairs(step_predictions: Tensor, features: Tensor) -> list[tuple[int, int]]:
    steps, views = len(step_predictions), len(features)
    return [(k, t) for k in range(1, steps + 1) for t in range(views - k)]


def reference_cpc(
    step_predictions: Tensor,
    features: Tensor,
    temperature: float,
    normalize: bool,
    negatives: str,
) -> Tensor:
    """Equation 4 of van den Oord et al. 2018, term by term, in float64."""
    step_predictions, features = step_predictions.double(), features.double()
    losses = []
    for k, t in valid_pairs(step_predictions, features):
        positions = range(len(features)) if negatives == "positions" else [t + k]
        for image in range(features.shape[1]):
            prediction = step_predictions[k - 1, t, image]
            scores = {}
            for position in positions:
                for other in range(features.shape[1]):
                    candidate = features[position, other]
                    score = (prediction * candidate).sum()
                    if normalize:
                        score = score / (prediction.norm() * candidate.norm())
                    scores[position, other] = score / temperature
            total = torch.stack(list(scores.values())).logsumexp(0)
            losses.append(total - scores[t + k, image])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("negatives", NEGATIVES)
@settings(deadline=None, max_examples=6)
@given(drawn=sequences(), temperature=st.sampled_from([0.1, 1.0, 3.0]))
def test_cpc_is_that_of_a_float64_loop_to_rounding(dtype, normalize, negatives, drawn, temperature):
    predictions, features = (item.to(dtype) for item in drawn)
    given_settings = {
        "temperature": temperature,
        "normalize": normalize,
        "negatives": negatives,
    }
    found = cpc(predictions, features, **given_settings)["loss"]
    expected = reference_cpc(predictions, features, **given_settings).item()
    norms = predictions.double().norm(dim=-1).max() * features.double().norm(dim=-1).max()
    largest = 1.0 if normalize else norms.item()
    allowed = 8 * torch.finfo(dtype).eps * (1 + 2 * largest / temperature + abs(expected))
    assert found.dtype == dtype
    assert found.shape == ()
    assert abs(found.item() - expected) <= allowed


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_cpc_gradient_is_that_of_the_loop(normalize, negatives):
    inputs = [normals(2, 4, 3, 5).requires_grad_(), normals(4, 3, 5, seed=1).requires_grad_()]
    found = cpc(inputs[0], inputs[1], temperature=0.5, normalize=normalize, negatives=negatives)[
        "loss"
    ]
    loop = reference_cpc(inputs[0], inputs[1], 0.5, normalize, negatives)
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs), torch.autograd.grad(loop, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("negatives", "candidates"), [("images", 6), ("positions", 6 * 4)])
def test_predictor_of_zeros_gives_the_log_of_the_candidates(normalize, negatives, candidates):
    predictions = torch.zeros(2, 4, 6, 5, requires_grad=True)
    loss = cpc(predictions, normals(4, 6, 5).float(), normalize=normalize, negatives=negatives)
    assert loss["loss"].item() == pytest.approx(math.log(candidates), rel=1e-6)
    assert loss["accuracy"].item() == 0.0
    (gradient,) = torch.autograd.grad(loss["loss"], predictions)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("negatives", NEGATIVES)
@checked
@given(drawn=sequences(), shift_seed=st.integers(0, 1000))
def test_shift_of_a_row_of_dot_product_scores_does_not_matter(negatives, drawn, shift_seed):
    predictions, features = drawn
    shift = normals(features.shape[-1], seed=shift_seed)
    loss = cpc(predictions, features, temperature=1.0, normalize=False, negatives=negatives)
    # Moving every candidate by one vector adds one number to all scores of a prediction.
    moved = cpc(
        predictions, features + shift, temperature=1.0, normalize=False, negatives=negatives
    )
    torch.testing.assert_close(moved["loss"], loss["loss"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("negatives", NEGATIVES)
@checked
@given(drawn=sequences(), scale=st.floats(0.1, 10))
def test_features_scaled_up_and_predictors_scaled_down_cancel(negatives, drawn, scale):
    predictions, features = drawn
    loss = cpc(predictions, features, temperature=1.0, normalize=False, negatives=negatives)
    scaled = cpc(
        predictions / scale,
        features * scale,
        temperature=1.0,
        normalize=False,
        negatives=negatives,
    )
    torch.testing.assert_close(scaled["loss"], loss["loss"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("negatives", NEGATIVES)
@checked
@given(drawn=sequences(), seed=st.integers(0, 1000))
def test_scale_of_every_row_does_not_matter_to_the_cosine(negatives, drawn, seed):
    predictions, features = drawn
    scales = normals(*features.shape[:2], 1, seed=seed).exp()
    loss = cpc(predictions, features, normalize=True, negatives=negatives)
    scaled = cpc(predictions * scales, features * scales, normalize=True, negatives=negatives)
    torch.testing.assert_close(scaled["loss"], loss["loss"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("negatives", NEGATIVES)
@checked
@given(drawn=sequences(), data=st.data())
def test_order_of_the_batch_does_not_matter(negatives, drawn, data):
    predictions, features = drawn
    order = data.draw(st.permutations(range(features.shape[1])))
    loss = cpc(predictions, features, negatives=negatives)
    permuted = cpc(predictions[:, :, order], features[:, order], negatives=negatives)
    torch.testing.assert_close(permuted, loss)


@pytest.mark.parametrize("normalize", [True, False])
@checked
@given(drawn=sequences())
def test_wrong_pairings_cost_at_least_log_batch_size_on_average(normalize, drawn):
    predictions, features = drawn
    batch = features.shape[1]
    rolled = [
        cpc(predictions.roll(k, 2), features, temperature=1.0, normalize=normalize)["loss"]
        for k in range(batch)
    ]
    assert torch.stack(rolled).mean().item() >= math.log(batch) - 1e-9


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_oracle_of_a_step_is_right_at_its_own_offset_only(negatives):
    views, batch = 5, 3
    # A feature is one-hot in its image and position, so no two are equal.
    features = torch.eye(views * batch, dtype=torch.float64).view(views, batch, -1)
    for step in (1, 2, 3):
        terms = [
            term_of_step(step, features.roll(-offset, 0), features, negatives)
            for offset in range(views)
        ]
        assert terms[step] == pytest.approx(0.0, abs=1e-2)
        assert min(terms[:step] + terms[step + 1 :]) >= math.log(batch) - 1e-9


def term_of_step(
    step: int, prediction: Tensor, features: Tensor, negatives: Literal["images", "positions"]
) -> float:
    """The mean loss of one step; the other steps predict zeros, whose loss is known."""
    views, batch = features.shape[:2]
    predictions = torch.zeros(views - 1, *features.shape, dtype=features.dtype)
    predictions[step - 1] = prediction
    found = cpc(predictions, features, temperature=0.1, normalize=False, negatives=negatives)
    pairs = views * (views - 1) // 2
    others = pairs - (views - step)
    cost_of_zeros = math.log(batch if negatives == "images" else views * batch)
    return (found["loss"].item() * pairs - others * cost_of_zeros) / (views - step)


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_accuracy_counts_the_predictions_that_score_highest(negatives):
    features = torch.eye(12, dtype=torch.float64).view(4, 3, 12)
    right = torch.stack([features.roll(-k, 0) for k in (1, 2)])
    wrong = right.roll(1, 2)
    half = torch.stack([right[0], wrong[1]])
    assert cpc(right, features, negatives=negatives)["accuracy"].item() == 1.0
    assert cpc(wrong, features, negatives=negatives)["accuracy"].item() == 0.0
    # Step 1 has three pairs with its target, step 2 has two.
    assert cpc(half, features, negatives=negatives)["accuracy"].item() == pytest.approx(3 / 5)
    assert not cpc(right.requires_grad_(), features)["accuracy"].requires_grad


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_module_hands_on_its_settings(normalize, negatives):
    predictions, features = normals(2, 4, 3, 5), normals(4, 3, 5, seed=1)
    module = CPC(temperature=0.3, normalize=normalize, negatives=negatives)
    expected = cpc(predictions, features, temperature=0.3, normalize=normalize, negatives=negatives)
    torch.testing.assert_close(module(predictions, features), expected)
    torch.testing.assert_close(CPC()(predictions, features), cpc(predictions, features))


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", ["zero", "huge", "tiny"])
def test_cosine_of_extreme_rows_is_finite(negatives, dtype, scale):
    limits = torch.finfo(dtype)
    factor = {"zero": 0.0, "huge": limits.max / 8, "tiny": limits.tiny * 4}[scale]
    predictions, features = normals(2, 4, 3, 5).sign(), normals(4, 3, 5, seed=1).sign()
    scaled_predictions, scaled_features = predictions * factor, features.clone()
    scaled_features[1] *= factor
    found = cpc(
        scaled_predictions.to(dtype),
        scaled_features.to(dtype),
        temperature=0.5,
        normalize=True,
        negatives=negatives,
    )["loss"]
    assert found.isfinite()
    if scale != "zero":
        expected = reference_cpc(predictions, features, 0.5, True, negatives).item()
        assert found.item() == pytest.approx(expected, rel=32 * limits.eps)


def test_autocast_does_not_lower_the_precision():
    predictions, features = normals(2, 4, 8, 5).float(), normals(4, 8, 5, seed=1).float()
    expected = cpc(predictions, features)["loss"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = cpc(predictions, features)["loss"]
    assert torch.equal(inside, expected)


def test_single_image_has_no_other_images_as_negatives():
    predictions, features = normals(2, 4, 1, 5), normals(4, 1, 5, seed=1)
    with pytest.raises(ValueError, match="at least 2"):
        cpc(predictions, features, negatives="images")
    found = cpc(predictions, features, temperature=0.1, normalize=True, negatives="positions")
    expected = reference_cpc(predictions, features, 0.1, True, "positions")
    torch.testing.assert_close(found["loss"], expected)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        cpc(torch.ones(1, 2, 2, 3), torch.ones(2, 2, 3), temperature=temperature)
