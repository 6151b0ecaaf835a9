"""Cross-entropy: closed forms and invariances, and a loop in float64 as reference."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sslcore_classifier.loss import CrossEntropy

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
smoothings = st.sampled_from([0.0, 0.1, 0.4, 0.9])
checked = settings(deadline=None, max_examples=30)


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Logits (V, B, K) in float64 and labels (B,)."""
    views, count, classes = (draw(st.integers(1, most)) for most in (3, 5, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    logits = 3 * torch.randn(views, count, classes, dtype=torch.float64, generator=generator)
    return logits, torch.randint(classes, (count,), generator=generator)


def target(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    own = torch.nn.functional.one_hot(labels, classes).double()
    return (1 - smoothing) * own + smoothing / classes


def reference(logits: Tensor, labels: Tensor, smoothing: float) -> float:
    """The cross-entropy of equation (1) of Szegedy et al., section 7, term by term."""
    losses = []
    for view in logits.double().tolist():
        for row, label in zip(view, labels.tolist(), strict=True):
            total = sum(math.exp(number) for number in row)
            terms = [-math.log(math.exp(number) / total) for number in row]
            shared = sum(terms) / len(terms)
            losses.append((1 - smoothing) * terms[label] + smoothing * shared)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("dtype", DTYPES)
@given(drawn=batches(), smoothing=smoothings)
@checked
def test_the_value_is_that_of_the_loop(dtype, drawn, smoothing):
    logits, labels = drawn[0].to(dtype), drawn[1]
    loss = CrossEntropy(label_smoothing=smoothing)(logits, labels)
    expected = reference(logits, labels, smoothing)
    assert loss.dtype == dtype
    allowed = 8 * torch.finfo(dtype).eps * (1 + float(logits.abs().max()) + expected)
    assert abs(loss.item() - expected) <= allowed


@given(drawn=batches(), smoothing=smoothings)
@checked
def test_the_gradient_is_the_softmax_minus_the_smoothed_target(drawn, smoothing):
    logits, labels = drawn[0].requires_grad_(), drawn[1]
    CrossEntropy(label_smoothing=smoothing)(logits, labels).backward()
    views, count, classes = logits.shape
    expected = logits.detach().softmax(-1) - target(labels, classes, smoothing)
    torch.testing.assert_close(logits.grad, expected / (views * count), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_equal_logits_cost_the_logarithm_of_the_number_of_classes(classes, smoothing):
    logits = torch.full((2, 3, classes), -7.0, dtype=torch.float64)
    loss = CrossEntropy(label_smoothing=smoothing)(logits, torch.tensor([0, classes - 1, 0]))
    assert loss.item() == pytest.approx(math.log(classes), abs=1e-12)


@given(st.floats(-30, 30), smoothings)
@checked
def test_of_two_classes_it_is_the_loss_of_logistic_regression(margin, smoothing):
    logits = torch.tensor([[[margin, 0.0]]], dtype=torch.float64)
    loss = CrossEntropy(label_smoothing=smoothing)(logits, torch.tensor([0])).item()
    right, wrong = math.log1p(math.exp(-margin)), math.log1p(math.exp(margin))
    assert loss == pytest.approx((1 - smoothing / 2) * right + smoothing / 2 * wrong, rel=1e-12)


@given(drawn=batches(), smoothing=smoothings)
@checked
def test_the_smoothed_target_is_the_minimum(drawn, smoothing):
    logits, labels = drawn
    wanted = target(labels, logits.shape[-1], smoothing)
    entropy = float(torch.special.entr(wanted).sum(-1).mean())
    module = CrossEntropy(label_smoothing=smoothing)
    assert module(logits, labels).item() >= entropy - 1e-12
    best = wanted.log().clamp_min(-700).expand_as(logits).clone().requires_grad_()
    loss = module(best, labels)
    loss.backward()
    assert loss.item() == pytest.approx(entropy, abs=1e-12)
    assert best.grad.abs().max() < 1e-12


@given(batches(), st.integers(0, 100))
@checked
def test_a_number_added_to_all_logits_of_an_image_changes_nothing(drawn, seed):
    logits, labels = drawn
    generator = torch.Generator().manual_seed(seed)
    shift = 100 * torch.randn(*logits.shape[:2], 1, dtype=torch.float64, generator=generator)
    module = CrossEntropy()
    torch.testing.assert_close(module(logits + shift, labels), module(logits, labels))


@given(batches(), st.randoms(use_true_random=False))
@checked
def test_images_and_classes_can_be_in_any_order(drawn, random):
    logits, labels = drawn
    images, classes = list(range(len(labels))), list(range(logits.shape[-1]))
    random.shuffle(images)
    random.shuffle(classes)
    module = CrossEntropy()
    expected = module(logits, labels)
    torch.testing.assert_close(module(logits[:, images], labels[images]), expected)
    renamed = torch.tensor(classes).argsort()[labels]
    torch.testing.assert_close(module(logits[..., classes], renamed), expected)


@given(batches(), smoothings)
@checked
def test_the_loss_of_a_batch_is_the_mean_over_its_views_and_images(drawn, smoothing):
    logits, labels = drawn
    module = CrossEntropy(label_smoothing=smoothing)
    alone = [
        module(logits[view : view + 1, image : image + 1], labels[image : image + 1])
        for view in range(len(logits))
        for image in range(len(labels))
    ]
    torch.testing.assert_close(module(logits, labels), torch.stack(alone).mean())


@pytest.mark.parametrize("cuts", [[0, 9], [0, 3, 6, 9], [0, 4, 9], [0, 1, 2, 9]])
def test_the_mean_over_shares_of_the_images_is_the_loss_of_all(cuts):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 9, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    labels, module = torch.randint(5, (9,), generator=generator), CrossEntropy()
    shares = []
    for start, stop in pairwise(cuts):
        share = module(logits, labels, rows=slice(start, stop))
        alone = module(logits[:, start:stop], labels[start:stop])
        torch.testing.assert_close(share, alone, rtol=1e-14, atol=0)
        shares.append(share * (stop - start) / 9)
    whole = module(logits, labels)
    torch.testing.assert_close(sum(shares), whole, rtol=1e-12, atol=1e-12)
    found = sum(torch.autograd.grad(share, logits)[0] for share in shares)
    (expected,) = torch.autograd.grad(whole, logits)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_logits_have_a_finite_loss_and_gradient(dtype):
    largest = torch.finfo(dtype).max / 8
    logits = torch.tensor([[[largest, -largest, 0.0], [0.0, largest, largest]]], dtype=dtype)
    logits.requires_grad_()
    for labels in ([0, 1], [1, 0], [2, 2]):
        loss = CrossEntropy()(logits, torch.tensor(labels))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_of_many_classes_in_half_precision_are_scored_in_full_precision(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = 100 * torch.randn(1, 8, 3000, generator=generator)
    logits, labels = logits.to(dtype), torch.arange(8) * 17
    exact = CrossEntropy()(logits.float(), labels).to(dtype)
    assert torch.equal(CrossEntropy()(logits, labels), exact)


def test_the_loss_changes_neither_its_inputs_nor_the_random_state_and_keeps_nothing():
    module = CrossEntropy()
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2, 1, 1])
    before, version, state = logits.clone(), logits._version, torch.get_rng_state()
    first = module(logits, labels)
    module(torch.ones(1, 2, 7), torch.tensor([6, 0]))
    assert torch.equal(module(logits, labels), first)
    assert torch.equal(module.eval()(logits, labels), first)
    assert torch.equal(logits, before)
    assert logits._version == version
    assert labels.tolist() == [0, 2, 1, 1]
    assert torch.equal(torch.get_rng_state(), state)
    assert not module.state_dict()


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ((4, 3), (4,)),
        ((1, 4, 3), (3,)),
        ((1, 4, 3), (1,)),
        ((1, 1, 3), (4,)),
        ((2, 4, 3), (2, 4)),
        ((1, 4, 3), ()),
        ((1, 0, 3), (0,)),
        ((1, 4, 0), (4,)),
        ((1, 4, 3, 1), (4,)),
    ],
)
def test_shapes_that_do_not_fit_are_an_error(logits, labels):
    with pytest.raises(ValueError, match=r"cross-entropy takes logits \(V, B, K\)"):
        CrossEntropy()(torch.ones(logits), torch.zeros(labels, dtype=torch.int64))


@pytest.mark.parametrize("label", [3, -1, -100, 10**6])
def test_a_label_that_is_no_class_is_an_error_and_no_image_is_left_out(label):
    with pytest.raises(IndexError, match="out of bounds"):
        CrossEntropy()(torch.ones(1, 2, 3), torch.tensor([0, label]))
