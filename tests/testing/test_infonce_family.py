"""The families of InfoNCE: correct losses pass, broken variants fail, the references are exact."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing import LossSpec, cases, check
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.family import family_called
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property
from sslcore_infonce.loss import InfoNCE

FAMILIES = ["infonce", "infonce-symmetric", "infonce-dot", "infonce-dot-symmetric"]
TEMPERATURE = {"temperature": 0.5}


def shipped(family: str) -> LossSpec:
    symmetric, normalize = "symmetric" in family, "dot" not in family
    return LossSpec(
        make=lambda temperature=0.5: InfoNCE(
            temperature=temperature, symmetric=symmetric, normalize=normalize
        ),
        family=family,
    )


def reference(family: str, pair: Tensor, temperature: float = 0.5) -> float:
    found = family_called(family).reference
    assert found is not None
    return float(found({"projections": pair}, {"temperature": temperature}))


def normals(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


#: The families; only the slow tests check all, the others the first.
_FIRST_BY_DEFAULT = [
    pytest.param(family, marks=pytest.mark.slow if position else ())
    for position, family in enumerate(FAMILIES)
]


@pytest.mark.parametrize("family", _FIRST_BY_DEFAULT)
def test_the_shipped_loss_conforms(family: str) -> None:
    report = check(shipped(family), mutation=False)
    assert report.passed, str(report)


def in_chunks(temperature: float, chunk_size: int) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(queries: Tensor, keys: Tensor) -> Tensor:
        if queries.dim() != 2 or queries.shape != keys.shape or queries.numel() == 0:
            raise ValueError("queries and keys are of different shapes")
        queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)
        total = queries.new_zeros(())
        for start in range(0, len(queries), chunk_size):
            logits = queries[start : start + chunk_size] @ keys.T / temperature
            labels = torch.arange(start, start + len(logits))
            total = total + F.cross_entropy(logits, labels, reduction="sum")
        return total / len(queries)

    return loss


def test_a_plain_function_in_chunks_conforms() -> None:
    spec = LossSpec(
        make=lambda temperature=0.5, chunk_size=5: in_chunks(temperature, chunk_size),
        family="infonce",
        dtypes=("float64", "float32"),
    )
    report = check(spec, mutation=False)
    assert report.passed, str(report)
    assert {row.property: row.status for row in report.rows}["chunks-agree"] == "pass"


def test_one_direction_does_not_conform_to_both() -> None:
    spec = LossSpec(
        make=lambda temperature=0.5: in_chunks(temperature, 8), family="infonce-symmetric"
    )
    (swap,) = [case for case in cases(spec) if case.id == "view-swap"]
    assert swap.row().status == "fail"


@pytest.mark.parametrize("family", _FIRST_BY_DEFAULT)
def test_every_broken_variant_is_caught(family: str) -> None:
    subject = LossSubject(shipped(family))
    properties = sorted(properties_of(subject.spec), key=lambda item: "reference" not in item.name)
    mutants = subject.family.mutants
    assert len(mutants) >= 30
    survived = [item.name for item in mutants if not caught_by(subject, item, properties)]
    assert survived == []


@pytest.mark.parametrize("family", FAMILIES)
def test_every_property_of_the_family_catches_something(family: str) -> None:
    subject = LossSubject(shipped(family))
    mutants = [item for item in subject.family.mutants if item.plain is None]
    # Neighbouring variants are similar: one of each kind comes first.
    varied = [mutant for start in range(11) for mutant in mutants[start::11]]
    for item in subject.family.properties:
        if item.applies(subject):
            continue
        verdicts = (
            run_property(item, mutant_subject(subject, mutant), draw=False, shrink=False).status
            for mutant in varied
        )
        assert "fail" in verdicts, item.name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [2, 5, 20])
def test_the_reference_is_log_n_where_all_are_alike(family: str, count: int) -> None:
    pair = normals(1, 1, 4).expand(2, count, 4)
    assert reference(family, pair) == pytest.approx(math.log(count), abs=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [2, 5, 20])
def test_the_reference_of_orthonormal_pairs_is_in_closed_form(family: str, count: int) -> None:
    pair = torch.eye(count, dtype=torch.float64).expand(2, -1, -1)
    expected = math.log(1 + (count - 1) * math.exp(-1 / 0.3))
    assert reference(family, pair, 0.3) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("normalised", ["", "-dot"])
def test_the_symmetric_reference_is_the_mean_of_both_directions(normalised: str) -> None:
    pair = normals(2, 5, 3)
    forth = reference(f"infonce{normalised}", pair)
    back = reference(f"infonce{normalised}", pair.flip(0))
    assert abs(forth - back) > 1e-3
    both = reference(f"infonce{normalised}-symmetric", pair)
    assert both == pytest.approx((forth + back) / 2, abs=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_in_a_loop_is_the_one_by_matrix(family: str) -> None:
    pair = normals(2, 13, 4)
    rows = F.normalize(pair, dim=-1) if "dot" not in family else pair
    logits = rows[0] @ rows[1].T / 0.5
    labels = torch.arange(13)
    for count in (12, 13):
        part, here = logits[:count, :count], labels[:count]
        expected = F.cross_entropy(part, here)
        if "symmetric" in family:
            expected = (expected + F.cross_entropy(part.T, here)) / 2
        assert reference(family, pair[:, :count]) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_candidates_have_the_positive_first(family: str) -> None:
    rows = F.normalize(normals(2, 4, 3), dim=-1)
    candidates = family_called(family).facts["candidates"](rows)  # type: ignore[operator]
    own = (rows[0] * rows[1]).sum(-1)
    expected = torch.cat([own, own]) if "symmetric" in family else own
    torch.testing.assert_close(candidates[:, 0], expected)
    assert candidates.shape == (len(expected), 4)
    torch.testing.assert_close(candidates[:4].sort(1).values, (rows[0] @ rows[1].T).sort(1).values)
