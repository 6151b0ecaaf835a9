"""InfoNCE: closed forms, bounds and invariances, and a loop in float64 as reference."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from sslcore_infonce.loss import InfoNCE, infonce

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
temperatures = st.sampled_from([0.05, 0.1, 0.5, 1.0, 3.0])
checked = settings(deadline=None, max_examples=20)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Queries and keys (B, D) in float64, without rows close to zero."""
    shape = (2, draw(st.integers(2, 6)), draw(st.integers(1, 5)))
    values = st.floats(-4, 4, width=32, allow_subnormal=False)
    drawn = torch.from_numpy(draw(arrays(np.float64, shape, elements=values, fill=st.nothing())))
    short = drawn.norm(dim=-1, keepdim=True) < 0.1
    queries, keys = torch.where(short, torch.ones_like(drawn), drawn)
    return queries, keys


def reference(queries: Tensor, keys: Tensor, temperature: float, *, normalize: bool) -> Tensor:
    """Equation 4 of van den Oord et al. 2018, term by term, in float64; (B,)."""
    queries, keys = queries.double(), keys.double()
    losses = []
    for i, query in enumerate(queries):
        scores = []
        for key in keys:
            score = (query * key).sum()
            if normalize:
                score = score / (query.square().sum().sqrt() * key.square().sum().sqrt())
            scores.append(score / temperature)
        losses.append(torch.stack(scores).logsumexp(0) - scores[i])
    return torch.stack(losses)


def cosines(queries: Tensor, keys: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(queries[:, None], keys[None], dim=-1)


def pairs_at(positive: float, negative: float, count: int) -> tuple[Tensor, Tensor]:
    """Unit queries and keys with cosine `positive` to their own and `negative` to all others."""
    queries = torch.eye(count, 2 * count, dtype=torch.float64)
    keys = torch.zeros_like(queries)
    keys[:, :count] = negative
    keys[:, :count].fill_diagonal_(positive)
    rest = 1 - positive**2 - (count - 1) * negative**2
    keys[:, count:].fill_diagonal_(math.sqrt(max(rest, 0.0)))
    return queries, keys


def rotation(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator))[0]


def normals(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalize", [True, False])
@checked
@given(pair=pairs(), temperature=temperatures)
def test_value_is_that_of_a_float64_loop_to_rounding(dtype, normalize, pair, temperature):
    queries, keys = (rows.to(dtype) for rows in pair)
    expected = reference(queries, keys, temperature, normalize=normalize).mean().item()
    found = infonce(queries, keys, temperature, normalize=normalize)
    # Dot products of rows up to 4·√5 long are larger than cosines, and so is their rounding.
    largest = 1.0 if normalize else 80.0
    allowed = 8 * torch.finfo(dtype).eps * (1 + 2 * largest / temperature + abs(expected))
    assert found.dtype == dtype
    assert found.shape == ()
    assert abs(found.item() - expected) <= allowed


@pytest.mark.parametrize("normalize", [True, False])
@checked
@given(pair=pairs(), temperature=temperatures)
def test_gradient_is_that_of_a_float64_loop(normalize, pair, temperature):
    inputs = [rows.clone().requires_grad_() for rows in pair]
    found = torch.autograd.grad(
        infonce(inputs[0], inputs[1], temperature, normalize=normalize), inputs
    )
    loop = reference(inputs[0], inputs[1], temperature, normalize=normalize).mean()
    for ours, theirs in zip(found, torch.autograd.grad(loop, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


def test_gradient_passes_gradcheck():
    inputs = (normals(3, 4).requires_grad_(), normals(3, 4, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(lambda q, k: infonce(q, k, 0.5), inputs)


@checked
@given(
    count=st.integers(2, 6),
    temperature=temperatures,
    positive=st.floats(-0.7, 0.7),
    negative=st.floats(-0.3, 0.3),
)
def test_equal_similarities_give_the_closed_form(count, temperature, positive, negative):
    queries, keys = pairs_at(positive, negative, count)
    loss = infonce(queries, keys, temperature).item()
    expected = math.log1p((count - 1) * math.exp((negative - positive) / temperature))
    assert loss == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_collapsed_features_give_log_batch_size():
    rows = torch.ones(7, 3)
    assert infonce(rows, rows, 0.1).item() == pytest.approx(math.log(7))


def test_mismatched_orthonormal_pairs_lose_one_over_temperature_more():
    rows = torch.eye(5, dtype=torch.float64)
    matched, deranged = infonce(rows, rows, 0.5), infonce(rows, rows.roll(1, 0), 0.5)
    assert (deranged - matched).item() == pytest.approx(1 / 0.5)


@checked
@given(pair=pairs(), temperature=temperatures)
def test_loss_lies_within_its_bounds(pair, temperature):
    loss, count = infonce(pair[0], pair[1], temperature).item(), len(pair[0])
    slack = 1e-9 * (1 + 1 / temperature)
    least = math.log1p((count - 1) * math.exp(-2 / temperature))
    most = math.log1p((count - 1) * math.exp(2 / temperature))
    assert least - slack <= loss <= most + slack
    assert abs(loss - math.log(count)) <= 2 / temperature + slack


@checked
@given(pair=pairs(), temperature=temperatures)
def test_hinge_of_the_hardest_negative_bounds_the_loss(pair, temperature):
    similarity = cosines(pair[0], pair[1])
    positive = similarity.diagonal()
    hardest = similarity.clone().fill_diagonal_(-torch.inf).amax(1)
    hinge = (hardest - positive).clamp_min(0).mean().item()
    scaled = temperature * infonce(pair[0], pair[1], temperature).item()
    most = hinge + temperature * math.log(len(positive))
    assert hinge - 1e-9 <= scaled <= most + 1e-9


@checked
@given(pair=pairs(), temperature=temperatures)
def test_over_all_ways_to_pair_them_the_mean_is_at_least_log_of_the_number_of_keys(
    pair, temperature
):
    # The probabilities of a query's keys add up to 1, and −log is convex.
    queries, keys = pair
    rolled = [infonce(queries, keys.roll(k, 0), temperature) for k in range(len(keys))]
    assert torch.stack(rolled).mean().item() >= math.log(len(keys)) - 1e-9


def test_gradient_pulls_the_own_key_closer_and_pushes_the_others_away():
    queries = torch.eye(4, dtype=torch.float64)
    # With these queries, the scores are the transpose of the keys.
    keys = normals(4, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(infonce(queries, keys, 0.5, normalize=False), keys)
    own = torch.eye(4, dtype=torch.bool)
    assert (gradient[own] < 0).all()
    assert (gradient[~own] > 0).all()


@checked
@given(pair=pairs(), temperature=temperatures, data=st.data())
def test_order_of_the_batch_does_not_matter(pair, temperature, data):
    order = data.draw(st.permutations(range(len(pair[0]))))
    permuted = infonce(pair[0][order], pair[1][order], temperature)
    torch.testing.assert_close(permuted, infonce(pair[0], pair[1], temperature))


@checked
@given(pair=pairs(), temperature=temperatures, data=st.data())
def test_scale_of_every_row_does_not_matter_to_the_cosine(pair, temperature, data):
    count = len(pair[0])
    scales = data.draw(st.lists(st.floats(0.1, 10), min_size=2 * count, max_size=2 * count))
    by_row = torch.tensor(scales, dtype=torch.float64).view(2, count, 1)
    scaled = infonce(pair[0] * by_row[0], pair[1] * by_row[1], temperature)
    torch.testing.assert_close(scaled, infonce(pair[0], pair[1], temperature), rtol=1e-9, atol=1e-9)


@checked
@given(pair=pairs(), a=st.floats(0.1, 3), b=st.floats(0.1, 3), temperature=temperatures)
def test_scale_of_the_dot_product_is_an_inverse_temperature(pair, a, b, temperature):
    scaled = infonce(a * pair[0], b * pair[1], temperature, normalize=False)
    warmer = infonce(pair[0], pair[1], temperature / (a * b), normalize=False)
    torch.testing.assert_close(scaled, warmer, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("normalize", [True, False])
@checked
@given(pair=pairs(), temperature=temperatures)
def test_rotation_and_added_zeros_do_not_matter(normalize, pair, temperature):
    turn = rotation(pair[0].shape[1])
    loss = infonce(pair[0], pair[1], temperature, normalize=normalize)
    turned = infonce(pair[0] @ turn, pair[1] @ turn, temperature, normalize=normalize)
    torch.testing.assert_close(turned, loss, rtol=1e-9, atol=1e-9)
    padded = [torch.nn.functional.pad(rows, (0, 3)) for rows in pair]
    torch.testing.assert_close(
        infonce(padded[0], padded[1], temperature, normalize=normalize), loss
    )


@checked
@given(pair=pairs(), temperature=temperatures)
def test_gradient_is_orthogonal_to_every_row(pair, temperature):
    inputs = [rows.clone().requires_grad_() for rows in pair]
    for rows, gradient in zip(
        inputs, torch.autograd.grad(infonce(inputs[0], inputs[1], temperature), inputs), strict=True
    ):
        along = (rows * gradient).sum(-1)
        torch.testing.assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-9)


def test_module_is_one_directional_unless_symmetric():
    first, second = normals(2, 5, 3)
    there, back = infonce(first, second, 0.5), infonce(second, first, 0.5)
    assert not torch.isclose(there, back)
    views = torch.stack([first, second])
    assert torch.equal(InfoNCE()(views), there)
    symmetric = InfoNCE(symmetric=True)
    torch.testing.assert_close(symmetric(views), (there + back) / 2)
    torch.testing.assert_close(symmetric(views.flip(0)), symmetric(views))


def test_module_hands_on_its_settings():
    views = 3 * normals(2, 5, 3)
    for symmetric in (False, True):
        found = InfoNCE(temperature=0.2, normalize=False, symmetric=symmetric)(views)
        expected = infonce(views[0], views[1], 0.2, normalize=False)
        if symmetric:
            expected = (expected + infonce(views[1], views[0], 0.2, normalize=False)) / 2
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", ["zero", "huge", "tiny"])
def test_extreme_rows_give_a_finite_loss(dtype, scale):
    limits = torch.finfo(dtype)
    factor = {"zero": 0.0, "huge": limits.max / 8, "tiny": limits.tiny * 4}[scale]
    queries, keys = normals(2, 4, 3).clamp(-2, 2).sign().to(dtype)
    queries[0] *= factor
    keys[2:] *= factor
    loss = infonce(queries, keys, 0.5)
    assert loss.isfinite()
    if scale != "zero":
        expected = infonce(queries.sign(), keys.sign(), 0.5)
        torch.testing.assert_close(loss, expected)


def test_zero_rows_have_similarity_zero_and_a_finite_gradient():
    queries, keys = normals(2, 4, 3)
    inputs = (torch.zeros_like(queries).requires_grad_(), keys.requires_grad_())
    loss = infonce(inputs[0], inputs[1], 0.5)
    assert loss.item() == pytest.approx(math.log(4))
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, inputs))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_rounded_once_at_the_end(dtype):
    for seed in range(10):
        queries, keys = normals(2, 16, 8, seed=seed).to(dtype)
        expected = infonce(queries.float(), keys.float(), 0.05).to(dtype)
        assert torch.equal(infonce(queries, keys, 0.05), expected)


def test_autocast_does_not_lower_the_precision():
    queries, keys = normals(2, 16, 8).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = infonce(queries, keys, 0.05)
    assert torch.equal(inside, infonce(queries, keys, 0.05))


def test_inputs_and_global_randomness_are_left_alone():
    views = normals(2, 4, 3)
    before, version, state = views.clone(), views._version, torch.get_rng_state()
    module = InfoNCE()
    first = module(views)
    module(normals(2, 9, 3))
    assert torch.equal(module(views), first)
    assert torch.equal(views, before)
    assert views._version == version
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("queries", "keys"),
    [
        ((4, 3), (5, 3)),
        ((4, 3), (1, 3)),
        ((4, 3), (4, 1)),
        ((4, 3), (4, 2)),
        ((4,), (4,)),
        ((2, 4, 3), (2, 4, 3)),
        ((4, 0), (4, 0)),
    ],
)
def test_shapes_that_do_not_pair_up_are_refused(queries, keys):
    with pytest.raises(ValueError, match=r"one shape \(B, D\)"):
        infonce(torch.ones(queries), torch.ones(keys), 0.5)


@pytest.mark.parametrize("count", [0, 1])
def test_batch_without_negatives_is_refused(count):
    with pytest.raises(ValueError, match="at least 2"):
        infonce(torch.ones(count, 3), torch.ones(count, 3), 0.5)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        infonce(torch.ones(2, 3), torch.ones(2, 3), temperature)


@pytest.mark.parametrize("shape", [(1, 4, 3), (3, 4, 3), (4, 3), (2, 4)])
def test_other_than_two_views_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(2, B, D\)"):
        InfoNCE()(torch.ones(shape))


def test_augmentation_of_more_than_two_views_is_refused_at_once():
    with pytest.raises(ValueError, match="makes 3"):
        InfoNCE(num_views=3)


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("cuts", [[0, 6], [0, 3, 6], [0, 2, 4, 6], [0, 1, 6], [0, 1, 3, 6]])
def test_the_mean_over_shares_of_the_images_is_the_loss_of_all(chunk, symmetric, normalize, cuts):
    views = normals(2, 6, 4).requires_grad_()
    module = InfoNCE(temperature=0.3, symmetric=symmetric, normalize=normalize, chunk_size=chunk)
    shares = [
        module(views, rows=slice(start, stop)) * (stop - start) / 6
        for start, stop in pairwise(cuts)
    ]
    whole = module(views)
    torch.testing.assert_close(sum(shares), whole, rtol=1e-12, atol=1e-12)
    found = sum(torch.autograd.grad(share, views)[0] for share in shares)
    (expected,) = torch.autograd.grad(whole, views)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_share_is_the_mean_over_its_own_queries():
    queries, keys = normals(2, 5, 3)
    each = reference(queries, keys, 0.3, normalize=True)
    found = infonce(queries, keys, 0.3, rows=slice(2, 5))
    torch.testing.assert_close(found, each[2:5].mean())
