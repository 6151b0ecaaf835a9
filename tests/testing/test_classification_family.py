"""The family classification: its reference, its broken variants, and results of other code."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch.nn import functional as F

from sslcore.testing import LossSpec, check
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.classification import CLASSIFICATION, logits_of, reference
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property
from sslcore_classifier.loss import CrossEntropy

SUBJECT = LossSubject(LossSpec(make=lambda **hyper: None, family="classification"))
# Comparisons with the reference detect most variants, so they come first.
PROPERTIES = sorted(properties_of(SUBJECT.spec), key=lambda item: "reference" not in item.name)


def by_hand(logits, labels):
    if logits.dim() != 3 or not logits.numel() or labels.shape != logits.shape[1:2]:
        raise ValueError("logits (V, B, K) and labels (B,), please")
    own = labels.expand(len(logits), -1)[..., None]
    if own.min() < 0:
        raise ValueError("labels from 0, please")
    return -logits.log_softmax(-1).gather(-1, own).mean()


def test_the_shipped_loss_passes_in_every_type():
    report = check(LossSpec(make=CrossEntropy, family="classification"), mutation=False)
    assert report.passed, str(report)


def test_a_correct_loss_without_smoothing_passes():
    spec = LossSpec(make=lambda: by_hand, family="classification")
    report = check(spec, mutation=False)
    assert report.passed, str(report)
    skipped = {row.property for row in report.rows if row.status == "n/a"}
    assert {"smoothing-mixes-labels", "rows-are-scored-alone", "ranks-agree"} <= skipped


def test_a_loss_with_smoothing_built_in_passes_if_the_spec_states_it():
    fixed = functools.partial(CrossEntropy, label_smoothing=0.2)

    def make():
        return fixed()

    stated = LossSpec(
        make=make, family="classification", constants={"label_smoothing": 0.2}, dtypes=("float64",)
    )
    assert check(stated, mutation=False).passed
    silent = LossSpec(make=make, family="classification", dtypes=("float64",))
    assert not check(silent, mutation=False).passed


def test_the_loss_of_the_framework_leaves_out_labels_and_has_a_mean_of_nothing():
    def make(label_smoothing):
        return functools.partial(F.cross_entropy, label_smoothing=label_smoothing)

    report = check(
        LossSpec(make=make, family="classification", signals="input,target"), mutation=False
    )
    assert {row.property for row in report.failures} == {
        "refuses-malformed-shapes",
        "refuses-labels-that-are-no-class",
        "finite-value-float16",
    }


@pytest.mark.parametrize("mutant", CLASSIFICATION.mutants, ids=lambda mutant: mutant.name)
def test_every_broken_variant_is_caught(mutant):
    assert caught_by(SUBJECT, mutant, PROPERTIES)


@pytest.mark.parametrize("item", CLASSIFICATION.properties, ids=lambda item: item.name)
def test_every_property_of_the_family_catches_a_broken_variant(item):
    assert any(
        run_property(item, mutant_subject(SUBJECT, mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in CLASSIFICATION.mutants
    )


def test_the_broken_variants_without_their_faults_pass_every_property():
    sound = mutant_subject(SUBJECT, CLASSIFICATION.control)
    rows = [run_property(item, sound, draw=False) for item in PROPERTIES]
    assert {row.status for row in rows} == {"pass", "n/a"}


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_the_reference_of_equal_logits_is_the_logarithm_of_the_number_of_classes(classes):
    logits = torch.full((2, 3, classes), 5.0, dtype=torch.float64)
    example = logits_of(logits, torch.tensor([0, classes - 1, 0]), 0.3)
    assert float(reference(example.inputs, example.hyper)) == pytest.approx(math.log(classes))
