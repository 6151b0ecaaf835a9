"""The families of MoCo's losses: references, broken variants, and results of the losses."""

from __future__ import annotations

from functools import partial

import pytest

from sslcore.testing import LossSpec, cases
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property
from sslcore_moco.batch import MomentumContrast
from sslcore_moco.conformance import BATCH, QUEUE, QUEUE_SYMMETRIC
from sslcore_moco.queue import QueueContrast

MAKES = {
    QUEUE.name: (QUEUE, QueueContrast),
    QUEUE_SYMMETRIC.name: (QUEUE_SYMMETRIC, partial(QueueContrast, symmetric=True)),
    BATCH.name: (BATCH, MomentumContrast),
}
SUBJECTS = {
    name: LossSubject(LossSpec(make=make, family=family)) for name, (family, make) in MAKES.items()
}


def _order(item):
    # Properties that detect most variants come first: values, then the queue.
    return ("value" not in item.name, not item.code.startswith("M"))


PROPERTIES = {
    name: sorted(properties_of(subject.spec), key=_order) for name, subject in SUBJECTS.items()
}


def _of_families(members):
    return [
        pytest.param(name, item, id=f"{name}-{item.name}")
        for name, (family, _) in MAKES.items()
        for item in members(family)
    ]


def _of_both_directions(family):
    """Return the mutants that no other family has."""
    tried = {mutant.name for mutant in QUEUE.mutants} if family is QUEUE_SYMMETRIC else set()
    return [mutant for mutant in family.mutants if mutant.name not in tried]


def _cases():
    for name, subject in SUBJECTS.items():
        for case in cases(subject.spec):
            yield pytest.param(case, id=f"{name}-{case.id}")


@pytest.mark.parametrize("case", list(_cases()))
def test_a_loss_of_moco_has_the_properties_of_its_family(case):
    case.run()


@pytest.mark.parametrize(("name", "mutant"), _of_families(_of_both_directions))
def test_every_broken_variant_is_caught(name, mutant):
    assert caught_by(SUBJECTS[name], mutant, PROPERTIES[name])


@pytest.mark.parametrize(("name", "item"), _of_families(lambda family: family.properties))
def test_every_property_of_a_family_catches_a_broken_variant(name, item):
    if item.applies(SUBJECTS[name]):
        pytest.skip(f"not of this family: {item.applies(SUBJECTS[name])}")
    assert any(
        run_property(item, mutant_subject(SUBJECTS[name], mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in MAKES[name][0].mutants
    )


@pytest.mark.parametrize("name", MAKES)
def test_the_broken_variants_without_their_faults_pass_every_property(name):
    sound = mutant_subject(SUBJECTS[name], MAKES[name][0].control)
    rows = {item.name: run_property(item, sound, draw=False) for item in PROPERTIES[name]}
    failed = {key: row.reason for key, row in rows.items() if row.status not in ("pass", "n/a")}
    assert failed == {}


def test_faults_of_the_queue_are_caught_by_what_speaks_of_it():
    wanted = {
        "last-in-first-out": "first-in-first-out",
        "queued-with-their-graph": "earlier-batches-get-no-gradient",
        "place-not-in-the-state": "state-is-in-the-checkpoint",
        "queued-in-eval-mode": "stands-still-in-eval-mode",
        "both-views-queued": "only-the-second-view-is-a-key",
        "last-key-of-the-queue-left-out": "order-of-the-queue-does-not-matter",
    }
    named = {item.name: item for item in QUEUE.properties}
    for mutant in QUEUE.mutants:
        if mutant.name in wanted:
            broken = mutant_subject(SUBJECTS[QUEUE.name], mutant)
            row = run_property(named[wanted[mutant.name]], broken, draw=False, shrink=False)
            assert row.status == "fail", mutant.name
