"""The plugin's own family of losses: its reference, its properties, and its broken variants."""

from __future__ import annotations

import pytest

from sslcore.registry.registry import default_registry
from sslcore.testing import LossSpec, cases, specs_of
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property
from sslcore_byol.conformance import NEGATIVE_COSINE, at_cosine, reference

SPEC = LossSpec(make=lambda **hyper: None, family=NEGATIVE_COSINE)
SUBJECT = LossSubject(SPEC)
PROPERTIES = sorted((case.what for case in cases(SPEC)), key=lambda p: "reference" not in p.name)


def test_the_record_names_it_and_the_loss_is_held_to_it():
    (spec,) = specs_of(default_registry().resolve("loss", "negative-cosine"))
    assert spec.family is NEGATIVE_COSINE
    found = {case.id for case in cases(spec)}
    assert {item.name for item in NEGATIVE_COSINE.properties} <= found


@pytest.mark.parametrize("mutant", NEGATIVE_COSINE.mutants, ids=lambda mutant: mutant.name)
def test_every_broken_variant_is_caught(mutant):
    assert caught_by(SUBJECT, mutant, PROPERTIES)


@pytest.mark.parametrize("item", NEGATIVE_COSINE.properties, ids=lambda item: item.name)
def test_every_property_of_the_family_catches_a_broken_variant(item):
    assert any(
        run_property(item, mutant_subject(SUBJECT, mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in NEGATIVE_COSINE.mutants
    )


def test_the_broken_variants_without_their_faults_pass_every_property():
    sound = mutant_subject(SUBJECT, NEGATIVE_COSINE.control)
    rows = [run_property(item, sound, draw=False) for item in PROPERTIES]
    assert {row.status for row in rows} == {"pass", "n/a"}


@pytest.mark.parametrize("cosine", [1.0, 0.5, 0.0, -1.0])
def test_the_reference_has_the_closed_form_of_one_cosine(cosine):
    found = reference(at_cosine(cosine, 4).inputs, {})
    assert float(found) == pytest.approx(-cosine, abs=1e-12)
