"""Families of losses that plugins bring: references, properties and broken variants."""

from __future__ import annotations

import pytest

from sslcore.testing import LossSpec, cases
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property
from sslcore_jepa.conformance import LATENT, LEJEPA
from sslcore_jepa.latent import LatentPrediction
from sslcore_jepa.regularizer import LeJEPA
from sslcore_nnclr.conformance import NNCLR
from sslcore_nnclr.loss import NeighbourContrast
from sslcore_supcon.conformance import SUPCON
from sslcore_supcon.loss import SupervisedContrast
from sslcore_swav.conformance import CLUSTER_ENTROPY, SWAV
from sslcore_swav.entropy import ClusterEntropy
from sslcore_swav.swapped import SwappedPrediction

SPECS = [
    LossSpec(make=NeighbourContrast, family=NNCLR),
    LossSpec(make=SupervisedContrast, family=SUPCON),
    LossSpec(make=LatentPrediction, family=LATENT),
    LossSpec(make=LeJEPA, family=LEJEPA),
    LossSpec(make=SwappedPrediction, family=SWAV),
    LossSpec(make=ClusterEntropy, family=CLUSTER_ENTROPY),
]
SUBJECTS = {spec.family.name: LossSubject(spec) for spec in SPECS}


def _properties(family):
    found = properties_of(SUBJECTS[family.name].spec)
    own = tuple(item.code for item in family.properties)
    return sorted(found, key=lambda item: ("value" not in item.name, item.code not in own))


def _of_each(name):
    return [
        pytest.param(spec.family, item, id=f"{spec.family.name}-{item.name}")
        for spec in SPECS
        for item in getattr(spec.family, name)
    ]


@pytest.mark.parametrize(
    "case", [case for spec in SPECS for case in cases(spec)], ids=lambda case: case.id
)
def test_the_loss_has_the_properties_of_its_family(case):
    case.run()


@pytest.mark.parametrize(("family", "mutant"), _of_each("mutants"))
def test_every_broken_variant_is_caught(family, mutant):
    assert caught_by(SUBJECTS[family.name], mutant, _properties(family))


@pytest.mark.parametrize(("family", "item"), _of_each("properties"))
def test_every_property_of_the_family_catches_a_broken_variant(family, item):
    subject = SUBJECTS[family.name]
    assert any(
        run_property(item, mutant_subject(subject, mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in family.mutants
    )


@pytest.mark.parametrize("family", [spec.family for spec in SPECS], ids=lambda item: item.name)
def test_the_broken_variants_without_their_faults_pass_every_property(family):
    sound = mutant_subject(SUBJECTS[family.name], family.control)
    rows = {item.name: run_property(item, sound, draw=False) for item in _properties(family)}
    failed = {key: row.reason for key, row in rows.items() if row.status not in ("pass", "n/a")}
    assert failed == {}
