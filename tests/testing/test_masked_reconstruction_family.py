"""The family masked-reconstruction: its references, its broken variants, other code."""

from __future__ import annotations

import pytest
import torch
from mae_parts import MaskedMSE, patchify
from torch import nn
from torch.nn import functional as F

from sslcore.testing import LossSpec, check
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.masked_reconstruction import (
    MASKED_RECONSTRUCTION,
    masked_images,
    mean_by_image,
    reference,
)
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property

EXACT = ("float64", "float32", "bfloat16")


SUBJECT = LossSubject(LossSpec(make=lambda **hyper: None, family="masked-reconstruction"))
# Comparisons with the reference detect most variants, so they come first.
PROPERTIES = sorted(properties_of(SUBJECT.spec), key=lambda item: "reference" not in item.name)


def by_indexing(x, y, mask):
    if not x.shape == y.shape == mask.shape or not mask.any():
        raise ValueError("three tensors of one shape with something hidden, please")
    return F.mse_loss(x[mask], y[mask])


def by_image(x, y, mask):
    if not x.shape == y.shape == mask.shape or mask.numel() == 0:
        raise ValueError("three tensors of one shape, please")
    dims, hidden = (2, 3, 4), mask.to(x.dtype)
    errors = (hidden * (x - y) ** 2).sum(dims)
    return (errors / hidden.sum(dims).clamp(min=1)).mean()


class OfPatches(nn.Module):
    def forward(self, reconstructions, targets, mask):
        views, count, channels, height, _ = targets.shape
        grid = round(mask.shape[-1] ** 0.5)
        side = height // grid
        if reconstructions.shape != targets.shape or mask.shape != (views, count, grid**2):
            raise ValueError("shapes that belong together, please")
        if mask.numel() == 0:
            raise ValueError("nothing to compare")
        cut = (reconstructions - targets).reshape(views, count, channels, grid, side, grid, side)
        errors = cut.square().mean((2, 4, 6)).flatten(2)
        return (errors * mask).sum() / mask.sum().clamp(min=1)


@pytest.mark.parametrize(
    "make", [lambda: by_indexing, lambda: by_image, OfPatches], ids=["indexing", "image", "patches"]
)
def test_a_correct_implementation_passes(make):
    report = check(
        LossSpec(make=make, family="masked-reconstruction", dtypes=EXACT), mutation=False
    )
    assert report.passed, str(report)


class OfFourPixels(nn.Module):
    """The third party's loss with patches of 4 px: pixels are repeated to that size."""

    def forward(self, reconstructions, views, mask):
        grid = round(mask.shape[-1] ** 0.5)
        times = 4 * grid // views.shape[-1]
        predicted, wanted = (
            item.repeat_interleave(times, -1).repeat_interleave(times, -2)
            for item in (reconstructions, views)
        )
        return MaskedMSE()(patchify(predicted), wanted, mask)


def test_the_loss_of_the_third_party_passes_but_for_its_silent_broadcast():
    spec = LossSpec(
        make=OfFourPixels,
        family="masked-reconstruction",
        dtypes=EXACT,
        expected_failures={"refuses-malformed-shapes": "one mask is broadcast to all images"},
    )
    report = check(spec, mutation=False)
    assert report.passed, str(report)


@pytest.mark.parametrize("mutant", MASKED_RECONSTRUCTION.mutants, ids=lambda mutant: mutant.name)
def test_every_broken_variant_is_caught(mutant):
    assert caught_by(SUBJECT, mutant, PROPERTIES)


@pytest.mark.parametrize("item", MASKED_RECONSTRUCTION.properties, ids=lambda item: item.name)
def test_every_property_of_the_family_catches_a_broken_variant(item):
    assert any(
        run_property(item, mutant_subject(SUBJECT, mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in MASKED_RECONSTRUCTION.mutants
    )


def test_the_broken_variants_without_their_faults_pass_every_property():
    sound = mutant_subject(SUBJECT, MASKED_RECONSTRUCTION.control)
    rows = [run_property(item, sound, draw=False) for item in PROPERTIES]
    assert {row.status for row in rows} == {"pass", "n/a"}


def _two_images():
    targets = torch.zeros(1, 2, 1, 4, 4, dtype=torch.float64)
    found = targets.clone()
    found[0, 0, 0, :2, 2:] = 1  # the second of four patches
    found[0, 1] = 2
    mask = torch.tensor([[[False, True, False, False], [True, True, False, True]]])
    return masked_images(found, targets, mask)


def test_the_references_are_means_over_all_hidden_pixels_and_by_image():
    example = _two_images()
    assert float(reference(example.inputs, {})) == pytest.approx((4 * 1 + 12 * 4) / 16)
    assert float(mean_by_image(example.inputs, {})) == pytest.approx((1 + 4) / 2)


def test_the_reference_with_all_hidden_is_the_mean_squared_error():
    example = _two_images()
    every = torch.ones_like(example.inputs["mask"])
    found = reference(example.with_inputs(mask=every).inputs, {})
    expected = F.mse_loss(example.inputs["reconstructions"], example.inputs["targets"])
    torch.testing.assert_close(found, expected)
