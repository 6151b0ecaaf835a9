"""The kit for its users: specs, statuses, and its robustness to foreign code."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from sslcore.errors import UsageError
from sslcore.testing import (
    Case,
    Family,
    LossSpec,
    Violation,
    cases,
    check,
    conformance,
    declare,
    register_family,
)
from sslcore.testing.losses.family import _FAMILIES
from sslcore.testing.search import run_property


def right(temperature=0.5):
    def loss(z1, z2):
        if z1.shape != z2.shape or z1.dim() != 2 or len(z1) == 0:
            raise ValueError("two batches of vectors of one shape, please")
        unit = F.normalize(torch.cat([z1, z2]).double(), dim=1)
        similar = unit @ unit.T / temperature
        similar = similar.masked_fill(torch.eye(len(unit), dtype=torch.bool), -torch.inf)
        return F.cross_entropy(similar, torch.arange(len(unit)).roll(len(z1))).to(z1.dtype)

    return loss


def of(function):
    """A make whose loss ignores the temperature."""
    return lambda temperature=0.5: function


def failing(spec):
    return {row.property: row.reason for row in check(spec, mutation=False).failures}


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda z1, z2: 1 / 0, "raised ZeroDivisionError"),
        (lambda z1, z2: sys.exit(3), "raised RuntimeError: SystemExit(3)"),
        (lambda z1, z2: (z1 * z2).sum().item(), ", a float, expected"),
        (lambda z1, z2: 3, "returned 3, a int"),
        (lambda z1, z2: None, "returned None, expected"),
        (lambda z1, z2: (z1 * z2).sum(1), "tensor of shape (2,), expected a scalar"),
        (lambda z1, z2: (z1 * z2).sum().detach(), "has no graph"),
        (lambda z1, z2: {"score": z1.sum()}, "returned None, expected"),
    ],
)
def test_what_a_loss_returns_or_raises_is_a_failed_line(loss, said):
    reasons = failing(LossSpec(make=of(loss), family="nt-xent"))
    assert said in reasons["returns-a-scalar-with-graph"]


def test_a_loss_that_is_not_a_number_fails():
    reasons = failing(
        LossSpec(make=of(lambda z1, z2: (z1 * z2).sum() * torch.nan), family="nt-xent")
    )
    assert "got nan" in reasons["value-matches-reference-float64"]
    assert "gave nan" in reasons["finite-value-float32"]


def test_make_that_raises_is_a_failed_line():
    def make(temperature=0.5):
        raise KeyError("temperature")

    assert (
        "make(temperature=0.5) raised KeyError"
        in failing(LossSpec(make=make, family="nt-xent"))["make-gives-a-new-loss"]
    )


def test_make_that_takes_no_temperature_is_told_what_to_do():
    reason = failing(LossSpec(make=lambda: right(), family="nt-xent"))["make-gives-a-new-loss"]
    assert "constants={'temperature': …}" in reason


def test_a_temperature_that_is_built_in_may_be_stated():
    report = check(
        LossSpec(make=lambda: right(0.2), family="nt-xent", constants={"temperature": 0.2}),
        mutation=False,
    )
    assert report.passed, str(report)


@pytest.mark.slow
def test_make_that_returns_one_object_twice_is_told_so():
    class Loss(torch.nn.Module):
        def forward(self, z1, z2):
            return right()(z1, z2)

    shared = Loss()
    reasons = failing(LossSpec(make=lambda temperature=0.5: shared, family="nt-xent"))
    assert "the same object twice" in reasons["make-gives-a-new-loss"]


@pytest.mark.parametrize(
    "returned",
    [None, 3, "loss", lambda: None, lambda a: a, lambda a, b, c: a],
    ids=["none", "number", "text", "takes nothing", "takes one", "takes three"],
)
def test_what_is_no_loss_is_told_what_a_loss_takes(returned):
    reason = failing(LossSpec(make=of(returned), family="nt-xent"))["make-gives-a-new-loss"]
    assert "can't be called" in reason or "z1, z2" in reason


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"family": "nt-xnt"}, "nearest: nt-xent"),
        ({"family": "nt-xent", "expected_failures": {"bound": "?"}}, "nearest: bounds"),
        ({"family": "nt-xent", "constants": {"tau": 1.0}}, "it has temperature"),
        ({"family": "nt-xent", "convention": "mine"}, "it has none"),
        ({"family": "nt-xent", "dtypes": ("float8",)}, "unknown float8"),
        ({"family": "nt-xent", "suite": "1999.1"}, "known are 2026.1"),
        ({"family": "custom", "invariances": ["permutation"]}, "nearest: joint-permutation"),
    ],
)
def test_a_spec_that_names_what_is_not_there_is_an_error_with_the_nearest(spec, said):
    with pytest.raises(UsageError, match=said):
        check(LossSpec(make=right, **spec))


def test_what_is_no_spec_is_an_error():
    with pytest.raises(UsageError, match="expected a spec"):
        check(right)


def test_an_expected_failure_does_not_keep_a_report_from_passing():
    def make(temperature=0.5):
        return lambda z1, z2: right(temperature)(z1, z2) if z1.shape == z2.shape else z1.sum()

    spec = LossSpec(
        make=make,
        family="nt-xent",
        expected_failures={"refuses-malformed-shapes": "checked by the caller"},
    )
    report = check(spec, mutation=False)
    assert report.passed, str(report)
    (row,) = [row for row in report.rows if row.property == "refuses-malformed-shapes"]
    assert row.status == "expected failure"
    assert row.reason.startswith("checked by the caller: ")


def test_an_expected_failure_that_does_not_fail_is_an_error():
    report = check(
        LossSpec(make=right, family="nt-xent", expected_failures={"bounds": "we thought so"}),
        mutation=False,
    )
    assert not report.passed
    assert [row.status for row in report.failures] == ["unexpected pass"]


def test_what_does_not_apply_says_why_and_is_counted():
    report = check(LossSpec(make=right, family="nt-xent"), mutation=False)
    skipped = {row.property: row.reason for row in report.rows if row.status == "n/a"}
    assert skipped["chunks-agree"] == "make takes no chunk_size"
    assert report.counts["declared"] == len(report.rows)
    assert report.counts["n/a"] == len(skipped)


def test_a_property_whose_draws_are_all_rejected_is_vacuous_and_does_not_pass():
    from hypothesis import reject

    @declare(
        "never",
        "X1",
        formula="nothing",
        kills="nothing",
        examples=lambda subject: __import__("hypothesis").strategies.integers(),
    )
    def never(subject, example):
        reject()

    class Subject:
        pass

    assert run_property(never, Subject()).status == "vacuous"


@pytest.mark.slow
def test_the_verdict_is_the_same_each_time():
    def make(temperature=0.5):
        return lambda z1, z2: right(temperature)(z1, z2 * (1 + (len(z1) == 3)) + z1[:1] * 0.1)

    spec = LossSpec(make=make, family="nt-xent")
    first = check(spec, mutation=False)
    assert not first.passed
    for _ in range(2):
        torch.rand(7)
        assert check(spec, mutation=False).to_dict() == first.to_dict()


def test_a_custom_loss_is_told_that_invariances_do_not_certify_it():
    spec = LossSpec(make=lambda: lambda z1, z2: (z1 - z2).square().mean(), family="custom")
    report = check(spec)
    (note,) = report.notes
    assert "nothing certified the loss" in note
    assert "reference" in note
    assert "point" in note
    assert not report.certified


def test_a_custom_loss_is_held_to_its_named_points():
    here = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]], dtype=torch.float64)
    make = of(lambda projections: (projections[0] - projections[1]).square().sum())
    good = LossSpec(make=make, family="custom", points=[({"projections": here}, 2.0)])
    bad = LossSpec(make=make, family="custom", points=[({"projections": here}, 2.1)])
    assert "value-at-named-points" not in failing(good)
    assert "got 2, expected 2.1" in failing(bad)["value-at-named-points"]


def test_a_custom_loss_may_take_other_signals_by_its_points():
    point = {
        "features": torch.ones(2, 3, 4).double(),
        "teacher_features": torch.zeros(2, 3, 4).double(),
    }
    make = of(lambda features, teacher_features: (features - teacher_features).square().mean())
    report = check(LossSpec(make=make, family="custom", points=[(point, 1.0)]))
    assert {row.property: row.status for row in report.rows}["value-at-named-points"] == "pass"


def test_a_third_party_registers_a_family_with_a_property_of_its_own():
    from sslcore.testing.losses.draws import pairs
    from sslcore.testing.losses.pair_examples import pair_anchors, pair_plain
    from sslcore.testing.losses.tried import anchors

    @declare("not-negative", "T1", formula="L ≥ 0", kills="a sign", anchors=anchors)
    def not_negative(subject, example):
        if subject.value(example) < 0:
            raise subject.violation("negative", example)

    family = Family(
        name="distance",
        summary="Mean squared distance of two views",
        signals=("projections",),
        reference=lambda inputs, hyper: (
            (inputs["projections"][0] - inputs["projections"][1]).square().mean()
        ),
        examples=pairs,
        anchors=pair_anchors,
        trainable=("projections",),
        plain=pair_plain,
        plain_names=("z1", "z2"),
        properties=(not_negative,),
    )
    try:
        assert register_family(family) is family
        assert check(
            LossSpec(make=lambda: lambda z1, z2: (z1 - z2).square().mean(), family="distance")
        ).passed
        bad = LossSpec(make=lambda: lambda z1, z2: -(z1 - z2).square().mean(), family="distance")
        assert "not-negative" in failing(bad)
        with pytest.raises(ValueError, match="registered already"):
            register_family(
                Family(name="distance", summary="", signals=(), examples=pairs, anchors=tuple)
            )
    finally:
        _FAMILIES.pop("distance", None)


@conformance(LossSpec(make=right, family="nt-xent"))
def test_the_decorator_makes_a_test_of_each_property(case):
    case.run()


def test_the_cases_of_a_failing_property_raise_with_formula_and_code():
    spec = LossSpec(make=of(lambda z1, z2: right()(z1, z2) + 1.0), family="nt-xent")
    (case,) = [case for case in cases(spec) if case.id == "bounds"]
    with pytest.raises(AssertionError, match="import torch") as raised:
        case.run()
    assert case.what.formula in str(raised.value)


def test_a_violation_outside_of_a_loss_is_a_failed_line_too():
    @declare("odd", "X2", formula="n is even", kills="odd ones", anchors=lambda subject: [2, 3])
    def odd(subject, example):
        if example % 2:
            raise Violation(f"{example} is odd")

    class Subject:
        pass

    row = run_property(odd, Subject())
    assert (row.status, row.reason, row.examples) == ("fail", "3 is odd", 2)


def test_an_error_of_the_check_itself_is_a_failed_line():
    @declare("broken", "X3", formula="", kills="", anchors=lambda subject: [1])
    def broken(subject, example):
        raise LookupError("where is it?")

    class Subject:
        pass

    assert "LookupError: where is it?" in run_property(broken, Subject()).reason


def test_importing_the_kit_leaves_hypothesis_as_it_was_and_the_engine_never_imports_it():
    code = (
        "import hypothesis, sys; before = hypothesis.settings.default;"
        "import sslcore.testing; assert hypothesis.settings.default is before;"
        "assert 'pytest' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    code = (
        "import sys, sslcore.api, sslcore.cli.train, sslcore.training.trainer;"
        "assert 'sslcore.testing' not in sys.modules and 'hypothesis' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cases_are_named_after_their_properties():
    found = cases(LossSpec(make=right, family="nt-xent"))
    assert all(isinstance(case, Case) for case in found)
    assert len({case.id for case in found}) == len(found)
