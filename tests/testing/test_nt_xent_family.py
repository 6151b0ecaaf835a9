"""The family nt-xent: its reference, its broken variants, and results of other code."""

from __future__ import annotations

import math
import time

import pytest
import torch
from torch.nn import functional as F

from sslcore.testing import LossSpec, check, families
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.contrastive import constant_similarities
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.nt_xent import NT_XENT, _by_matrix, reference
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property


def _itself(temperature=0.5):
    return lambda projections: reference({"projections": projections}, {"temperature": temperature})


SPEC = LossSpec(make=_itself, family="nt-xent", dtypes=("float64", "float32"))
SUBJECT = LossSubject(LossSpec(make=_itself, family="nt-xent"))
PROPERTIES = properties_of(SUBJECT.spec)


def cross_entropy(temperature=0.5):
    def loss(z1, z2):
        if z1.shape != z2.shape or z1.dim() != 2 or len(z1) == 0:
            raise ValueError("two batches of vectors of one shape, please")
        kept = z1.dtype
        unit = F.normalize(torch.cat([z1, z2]).to(torch.promote_types(kept, torch.float32)), dim=1)
        similar = unit @ unit.T / temperature
        similar = similar.masked_fill(torch.eye(len(unit), dtype=torch.bool), -torch.inf)
        return F.cross_entropy(similar, torch.arange(len(unit)).roll(len(z1))).to(kept)

    return loss


def by_reshaping(temperature=0.5):
    def loss(projections):
        _, count, dim = projections.shape
        if not count or not dim:
            raise ValueError("nothing to compare")
        kept = projections.dtype
        rows = projections.to(torch.promote_types(kept, torch.float32)).reshape(2 * count, dim)
        unit = F.normalize(rows, dim=1)
        similar = unit @ unit.T / temperature
        others = similar.flatten()[1:].view(2 * count - 1, 2 * count + 1)[:, :-1]
        others = others.reshape(2 * count, 2 * count - 1)
        own = torch.cat([similar.diagonal(count), similar.diagonal(-count)])
        return (others.logsumexp(1) - own).mean().to(kept)

    return loss


class Chunked(torch.nn.Module):
    def __init__(self, temperature=0.5, chunk_size=3):
        super().__init__()
        self.temperature, self.chunk_size = temperature, chunk_size

    def forward(self, projections):
        _, count, dim = projections.shape
        if not count or not dim:
            raise ValueError("nothing to compare")
        kept = projections.dtype
        rows = projections.to(torch.promote_types(kept, torch.float32)).reshape(2 * count, dim)
        unit = F.normalize(rows, dim=1)
        total = 0.0
        for start in range(0, 2 * count, self.chunk_size):
            index = torch.arange(start, min(start + self.chunk_size, 2 * count))
            similar = unit[index] @ unit.T / self.temperature
            similar[torch.arange(len(index)), index] = -torch.inf
            total = total + F.cross_entropy(similar, (index + count) % (2 * count), reduction="sum")
        return (total / (2 * count)).to(kept)


@pytest.mark.parametrize(
    "make", [cross_entropy, by_reshaping, Chunked], ids=lambda make: make.__name__
)
def test_a_correct_implementation_passes_and_is_checked_by_all_that_applies(make):
    report = check(LossSpec(make=make, family="nt-xent"), mutation=False)
    assert report.passed, str(report)
    assert report.counts["pass"] >= 43


@pytest.mark.parametrize("mutant", NT_XENT.mutants, ids=lambda mutant: mutant.name)
def test_every_broken_variant_is_caught(mutant):
    assert caught_by(SUBJECT, mutant, PROPERTIES)


@pytest.mark.slow
def test_every_property_catches_a_broken_variant():
    idle = []
    for item in PROPERTIES:
        for mutant in NT_XENT.mutants:
            if run_property(item, mutant_subject(SUBJECT, mutant), shrink=False).status == "fail":
                break
        else:
            idle.append(item.name)
    # This family has no target, and its negatives give no information bound.
    assert idle == ["stops-gradient", "mutual-information-bound"]


def test_the_broken_variants_without_their_faults_pass_every_property():
    sound = mutant_subject(SUBJECT, NT_XENT.control)
    rows = [run_property(item, sound) for item in PROPERTIES]
    assert {row.status for row in rows} == {"pass", "n/a"}


def test_the_reference_is_the_same_by_loop_and_by_matrix():
    pair = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1)).double()
    rows = torch.nn.functional.normalize(pair, dim=-1).flatten(0, 1)
    by_loop = reference({"projections": pair}, {"temperature": 0.3})
    torch.testing.assert_close(by_loop, _by_matrix(rows, 0.3))


@pytest.mark.parametrize(
    ("positive", "negative"), [(1.0, 1.0), (1.0, 0.0), (0.5, -0.1), (0.0, 0.25)]
)
def test_the_reference_has_the_closed_form_of_constant_similarities(positive, negative):
    example = constant_similarities(4, positive, negative, 0.5)
    expected = math.log(1 + 6 * math.exp((negative - positive) / 0.5))
    assert float(reference(example.inputs, example.hyper)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_a_report_measures_its_checks_on_the_broken_variants():
    report = check(LossSpec(make=cross_entropy, family="nt-xent"))
    assert report.mutation is not None
    # Two are about chunks and ranks, which this loss does not have.
    assert len(report.mutation.killed) == len(NT_XENT.mutants) - 2
    assert not report.mutation.survived


@pytest.mark.slow
def test_fewer_checks_are_worth_less():
    exact = LossSpec(make=cross_entropy, family="nt-xent", dtypes=("float64",))
    survived = check(exact).mutation.survived
    assert "gradient-lost-in-low-precision" in survived
    assert "returns-float32" not in survived


def _no_positive(temperature=0.5):
    def loss(z1, z2):
        unit = F.normalize(torch.cat([z1, z2]), dim=1)
        similar = unit @ unit.T / temperature
        return (
            similar.masked_fill(torch.eye(len(unit), dtype=torch.bool), -torch.inf)
            .logsumexp(1)
            .mean()
        )

    return loss


def _own_similarity_as_target(temperature=0.5):
    def loss(z1, z2):
        rows = torch.cat([z1, z2])
        unit = F.normalize(rows, dim=1)
        return F.cross_entropy(unit @ unit.T / temperature, (rows @ rows.T).argmax(1))

    return loss


def _one_tensor_twice(temperature=0.5):
    whole = cross_entropy(temperature)
    return lambda z1, z2: whole(z1, z1)


@pytest.mark.parametrize(
    "make",
    [_no_positive, _own_similarity_as_target, _one_tensor_twice],
    ids=lambda make: make.__name__,
)
def test_the_bugs_of_tutorials_are_caught_with_four_rows_at_most(make):
    report = check(LossSpec(make=make, family="nt-xent"), mutation=False)
    caught = [row for row in report.failures if row.property.startswith("value-matches-reference")]
    assert len(caught) == 4
    for row in caught:
        drawn = {}
        exec(row.counterexample, {"make": make}, drawn)
        assert len(drawn["z1"]) + len(drawn["z2"]) <= 4


def test_a_counterexample_can_be_pasted_and_shows_the_failure():
    report = check(LossSpec(make=_one_tensor_twice, family="nt-xent"), mutation=False)
    row = next(row for row in report.failures if row.property == "value-matches-reference-float64")
    *lines, call = row.counterexample.splitlines()
    names = {"make": _one_tensor_twice}
    exec("\n".join(lines), names)
    got = float(eval(call, names))
    assert f"got {got:.10g}" in row.reason


def test_the_family_is_known_by_name():
    assert NT_XENT in families()


@pytest.mark.slow
def test_a_call_that_hangs_is_a_failed_line_and_the_rest_is_still_checked():
    def make(temperature=0.5):
        whole = cross_entropy(temperature)

        def loss(z1, z2):
            if len(z1) == 3:
                time.sleep(600)
            return whole(z1, z2)

        return loss

    report = check(LossSpec(make=make, family="nt-xent", seconds=0.5), mutation=False)
    reasons = {row.property: row.reason for row in report.failures}
    assert "did not return" in reasons["value-matches-reference-float64"]
    assert "keeps-type-float32" not in reasons
