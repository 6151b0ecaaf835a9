"""Distillation: its loss and the family of it, its head, and what the method learns."""

from __future__ import annotations

import pytest
import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.registry.registry import default_registry
from sslcore.testing import LossSpec, cases, specs_of
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property
from sslcore_distill.conformance import TEACHER_COSINE, at_cosine, reference
from sslcore_distill.head import Adaptor
from sslcore_distill.loss import TeacherCosine

SPEC = LossSpec(make=lambda **hyper: None, family=TEACHER_COSINE)
SUBJECT = LossSubject(SPEC)
PROPERTIES = sorted((case.what for case in cases(SPEC)), key=lambda p: "reference" not in p.name)


def test_the_record_names_the_family_and_the_loss_is_held_to_it():
    (spec,) = specs_of(default_registry().resolve("loss", "teacher-cosine"))
    assert spec.family is TEACHER_COSINE
    found = {case.id for case in cases(spec)}
    assert {item.name for item in TEACHER_COSINE.properties} <= found


@pytest.mark.parametrize("mutant", TEACHER_COSINE.mutants, ids=lambda mutant: mutant.name)
def test_every_broken_variant_is_caught(mutant):
    assert caught_by(SUBJECT, mutant, PROPERTIES)


@pytest.mark.parametrize("item", TEACHER_COSINE.properties, ids=lambda item: item.name)
def test_every_property_of_the_family_catches_a_broken_variant(item):
    assert any(
        run_property(item, mutant_subject(SUBJECT, mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in TEACHER_COSINE.mutants
    )


def test_the_broken_variants_without_their_faults_pass_every_property():
    sound = mutant_subject(SUBJECT, TEACHER_COSINE.control)
    rows = [run_property(item, sound, draw=False) for item in PROPERTIES]
    assert {row.status for row in rows} == {"pass", "n/a"}


@pytest.mark.parametrize("cosine", [1.0, 0.5, 0.0, -1.0])
def test_loss_and_reference_have_the_closed_form_of_one_cosine(cosine):
    inputs = at_cosine(cosine, 4).inputs
    assert float(reference(inputs, {})) == pytest.approx(1 - cosine, abs=1e-12)
    assert float(TeacherCosine()(**inputs)) == pytest.approx(1 - cosine, abs=1e-12)


def test_any_number_of_views_is_compared_view_by_view():
    rows = torch.rand(3, 4, 5)
    assert float(TeacherCosine()(rows, 2 * rows)) == pytest.approx(0, abs=1e-6)
    assert float(TeacherCosine()(rows[:1], rows[1:2])) > 0.01


def test_the_head_is_as_wide_as_the_teachers_features():
    head = Adaptor(6, 10, hidden=(7, 8))
    assert head(torch.rand(2, 3, 6))["projections"].shape == (2, 3, 10)
    assert sum(isinstance(layer, torch.nn.Linear) for layer in head.layers) == 3
    linear = Adaptor(6, 10, hidden=())
    assert [type(layer).__name__ for layer in linear.layers] == ["Linear"]


def test_the_head_follows_the_width_of_any_teacher():
    for encoder in ("vit", "cnn4"):
        recipe, _ = make_recipe("distill", settings={"teacher": {"encoder": encoder}})
        signals = build_pipeline(recipe, ImageShape(16, 1))(
            torch.rand(4, 1, 16, 16), random=sslcore.BatchRandom(0, 0, 4)
        )
        assert signals["projections"].shape == signals["teacher_features"].shape


def test_the_student_comes_close_to_a_teacher_of_another_architecture(console):
    quick = {"training": {"epochs": 1, "batch_size": 128, "precision": "fp32"}}
    teacher = sslcore.train(
        "simclr", settings=quick, output="teacher", console=console, evaluate=False
    )
    longer = {**quick, "training": {**quick["training"], "epochs": 3, "log_every": 1}}
    run = sslcore.train(
        "distill",
        encoder="conv-encoder",
        settings=longer | {"teacher": {"path": str(teacher.path)}},
        output="run",
        console=console,
        evaluate=False,
    )
    losses = [line["loss"] for line in run.metrics]
    assert losses[-1] < losses[0] / 3
