"""The family of LeJEPA's loss: its reference, its properties, and its broken variants."""

from __future__ import annotations

import pytest

from sslcore.testing import LossSpec, cases
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property
from sslcore_jepa.conformance import LEJEPA
from sslcore_jepa.regularizer import LeJEPA

SPEC = LossSpec(make=LeJEPA, family=LEJEPA)
SUBJECT = LossSubject(SPEC)
PROPERTIES = sorted(
    properties_of(SPEC), key=lambda item: ("value" not in item.name, not item.code.startswith("LJ"))
)


@pytest.mark.parametrize("case", list(cases(SPEC)), ids=lambda case: case.id)
def test_the_loss_has_the_properties_of_its_family(case):
    case.run()


@pytest.mark.parametrize("mutant", LEJEPA.mutants, ids=lambda mutant: mutant.name)
def test_every_broken_variant_is_caught(mutant):
    assert caught_by(SUBJECT, mutant, PROPERTIES)


@pytest.mark.parametrize("item", LEJEPA.properties, ids=lambda item: item.name)
def test_every_property_of_the_family_catches_a_broken_variant(item):
    assert any(
        run_property(item, mutant_subject(SUBJECT, mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in LEJEPA.mutants
    )


def test_the_broken_variants_without_their_faults_pass_every_property():
    sound = mutant_subject(SUBJECT, LEJEPA.control)
    rows = {item.name: run_property(item, sound, draw=False) for item in PROPERTIES}
    failed = {key: row.reason for key, row in rows.items() if row.status not in ("pass", "n/a")}
    assert failed == {}
