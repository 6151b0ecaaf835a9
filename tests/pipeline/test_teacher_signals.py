"""What a teacher gets, what it gives, and a teacher that does not go with the stages."""

from __future__ import annotations

from typing import TypedDict

import pytest
import torch
from torch import Tensor, nn

import sslcore
from sslcore.api import make_recipe
from sslcore.errors import CompositionError, SettingsError
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.signals import Features, Projections


class QueryAndKey(TypedDict):
    """Signals of the augmentation below."""

    views: Tensor
    teacher_views: Tensor
    mask: Tensor


class Pairs(nn.Module):
    """The image for the student, and two darker ones for the teacher; the upper half is hidden."""

    def forward(self, images: Tensor) -> QueryAndKey:
        mask = torch.zeros(1, len(images), 1, images.shape[-1], images.shape[-1], dtype=torch.bool)
        mask[..., :8, :] = True
        return {
            "views": images[None],
            "teacher_views": torch.stack((images / 2, images / 4)),
            "mask": mask,
        }


class Masked(nn.Module):
    """The mean of each row of the pixels that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, views: Tensor, mask: Tensor | None = None) -> Features:
        seen = views if mask is None else views.masked_fill(mask, 0)
        # A row of the picture is a feature.
        return {"features": seen.mean((1, 3)) * self.scale}


class NeedsMask(Masked):
    def forward(self, views: Tensor, mask: Tensor) -> Features:
        return super().forward(views, mask)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((1,), 2.0))

    def forward(self, features: Tensor) -> Projections:
        return {"projections": features * self.factor}


class OfFeatures(nn.Module):
    def forward(self, projections: Tensor, teacher_features: Tensor) -> Tensor:
        return (projections - teacher_features[:1]).square().mean()


class OfProjections(nn.Module):
    def forward(self, projections: Tensor, teacher_projections: Tensor) -> Tensor:
        return (projections - teacher_projections[:1]).square().mean()


class NoTeacher(nn.Module):
    def forward(self, projections: Tensor) -> Tensor:
        return projections.square().mean()


@pytest.fixture
def parts(registry, add):
    add(registry, "augmentation", Pairs, name="pairs")
    add(registry, "encoder", Masked, name="masked")
    add(registry, "encoder", NeedsMask, name="needs-mask")
    add(registry, "head", Twice, name="twice")
    add(registry, "loss", OfFeatures, name="of-features")
    add(registry, "loss", OfProjections, name="of-projections")
    add(registry, "loss", NoTeacher, name="no-teacher")
    return registry


def _recipe(registry, loss, teacher, **chosen):
    named = {"augmentation": "pairs", "encoder": "masked", "head": "twice", **chosen}
    settings = {"teacher": teacher} if teacher else {}
    return make_recipe("simclr", loss=loss, settings=settings, registry=registry, **named)[0]


ALL = {"momentum": 0.9, "without": ("mask",)}


def test_a_teacher_does_not_get_the_signals_that_it_goes_without(parts):
    pipeline = build_pipeline(_recipe(parts, "of-projections", ALL), ImageShape(16, 1))
    signals = pipeline(torch.rand(3, 1, 16, 16) + 0.1)
    assert int((signals["teacher_features"][0] != 0).sum(1)[0]) == 16
    assert int((signals["features"][0] != 0).sum(1)[0]) == 16 - 8


def test_the_teacher_sees_its_own_views_and_the_student_those_of_its_own(parts):
    pipeline = build_pipeline(_recipe(parts, "of-projections", ALL), ImageShape(16, 1))
    images = torch.rand(3, 1, 16, 16)
    signals = pipeline(images)
    rows = images.mean((1, 3))
    expected = torch.stack((rows, rows / 2))
    torch.testing.assert_close(signals["teacher_projections"], expected)
    assert signals["features"].shape == (1, 3, 16)
    assert not signals["teacher_features"].requires_grad


def test_a_teacher_without_a_head_gives_features_alone(parts):
    teacher = {**ALL, "head": False}
    pipeline = build_pipeline(_recipe(parts, "of-features", teacher), ImageShape(16, 1))
    signals = pipeline(torch.rand(3, 1, 16, 16))
    assert "teacher_features" in signals
    assert "teacher_projections" not in signals
    assert not any(name.startswith("teacher.head") for name in pipeline.state_dict())
    with pytest.raises(CompositionError, match=r"no head: --set teacher\.head=true"):
        _recipe(parts, "of-projections", teacher)


def test_a_teacher_follows_the_student_in_the_parts_that_it_has(parts):
    pipeline = build_pipeline(
        _recipe(parts, "of-features", {**ALL, "head": False}), ImageShape(16, 1)
    )
    with torch.no_grad():
        pipeline.encoder.scale.fill_(3)
    pipeline.update_teacher(0.5)
    assert float(pipeline.teacher["encoder"].scale) == 2


def test_a_teacher_that_the_loss_does_not_read_is_refused(parts):
    with pytest.raises(CompositionError, match=r"reads no signal of the teacher \(teacher_feat"):
        _recipe(parts, "no-teacher", ALL)


def test_the_teacher_of_a_method_is_left_out_with_a_note_for_a_loss_that_reads_none(registry):
    recipe, notes = make_recipe("byol", loss="nt-xent", registry=registry)
    assert recipe.teacher is None
    assert [note for note in notes if note.startswith("left out: the teacher")]
    again, _ = make_recipe(config=recipe.to_dict(), registry=registry)
    assert again == recipe
    with pytest.raises(CompositionError, match="reads no signal"):
        make_recipe(
            "byol", loss="nt-xent", settings={"teacher": {"momentum": 0.9}}, registry=registry
        )


def test_a_signal_that_nothing_makes_can_not_be_left_out(parts):
    with pytest.raises(CompositionError, match=r"teacher\.without: .* makes masks; nearest: mask;"):
        _recipe(parts, "of-projections", {"momentum": 0.9, "without": ("masks",)})


def test_a_signal_that_the_teacher_needs_can_not_be_left_out(parts):
    with pytest.raises(CompositionError, match=r"needs-mask .* needs mask, and teacher\.without"):
        _recipe(parts, "of-projections", ALL, encoder="needs-mask")


def test_a_recipe_keeps_what_the_teacher_goes_without(parts):
    recipe = _recipe(parts, "of-features", {**ALL, "head": False})
    assert recipe.teacher == sslcore.Teacher(momentum=0.9, without=("mask",), head=False)
    again, _ = make_recipe(config=recipe.to_dict(), registry=parts)
    assert again == recipe


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"without": "mask"}, "without must be a tuple of names"),
        ({"without": ("no name",)}, "without must be a tuple of names"),
        ({"head": 1}, "head must be True or False"),
        ({"settings": {"depth": 2}}, "settings belong to another encoder"),
        ({"encoder": "conv", "head": False}, "can't follow the student"),
        ({"encoder": "conv", "momentum": 1.0}, "a frozen teacher has no head"),
        ({"encoder": "Conv"}, "is no name of a part"),
        ({"momentum": 2}, "momentum must be a number from 0 to 1"),
    ],
)
def test_a_teacher_that_can_not_be_is_refused_when_it_is_made(wrong, said):
    with pytest.raises(ValueError, match=said):
        sslcore.Teacher(**wrong)


def test_settings_of_a_teacher_that_do_not_go_together_are_refused_in_one_message(parts):
    with pytest.raises(SettingsError, match=r"frozen teacher has no head \(teacher\.head = false"):
        _recipe(parts, "of-projections", {"momentum": 1.0, "encoder": "masked"})
