"""A loss outside all families is held to its author's formula, on signals read from `forward`."""

from __future__ import annotations

from typing import Annotated

import pytest
import torch
from formula_losses import BROKEN, SOUND, Captions, Siamese, Supervised, captions, siamese
from torch import Tensor, nn

from sslcore.errors import UsageError
from sslcore.signals import Shape
from sslcore.testing import LossSpec, cases, check
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.signal_shapes import ENGINE, shape_of
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property
from sslcore.testing.switches import plain_process


def spec_of(loss, formula=None, **stated):
    return LossSpec(make=loss, family="custom", reference=formula, **stated)


def rows_of(spec):
    """Return the rows of a report on the fixed examples, comparisons with the formula first."""
    subject = LossSubject(spec)
    for item in sorted(properties_of(spec), key=lambda item: "reference" not in item.name):
        with plain_process():
            yield run_property(item, subject, draw=False, shrink=False)


def _sound():
    """Each sound loss; only slow tests check those with slow formulas."""
    slow = ("Supervised", "Neighbours", "Prototypes", "Sliced", "Captions")
    return [
        pytest.param(
            loss,
            formula,
            marks=pytest.mark.slow if loss.__name__ in slow else (),
            id=loss.__name__,
        )
        for loss, formula in SOUND.items()
    ]


@pytest.mark.parametrize(("loss", "formula"), _sound())
def test_a_sound_loss_passes_and_every_broken_variant_of_its_formula_would_fail(loss, formula):
    report = check(spec_of(loss, formula))
    assert report.passed, str(report)
    assert report.certified
    assert report.mutation is not None
    assert len(report.mutation.killed) > 20
    assert report.mutation.survived == ()


@pytest.mark.parametrize(
    ("loss", "formula"), [pytest.param(*pair, id=pair[0].__name__) for pair in BROKEN]
)
def test_a_broken_loss_fails(loss, formula):
    assert any(row.status == "fail" for row in rows_of(spec_of(loss, formula)))


@pytest.mark.parametrize(
    ("loss", "by"),
    [
        ("SiameseNoDetach", "gradient-matches-reference-float64"),
        ("SupervisedRowsIgnored", "ranks-agree"),
        ("SupervisedInHalf", "value-matches-reference-float16"),
        ("SupervisedUnlabelledAlike", "images-without-a-label"),
        ("NeighboursOutsideBuffers", "state-is-in-buffers"),
        ("NeighboursFirstQueueAlways", "value-matches-formula-after-other-batches"),
        ("PrototypesFrozen", "weight-gradient-matches-formula"),
        ("SlicedGlobalGenerator", "repeatable"),
        ("DistilledRemembers", "remembers-nothing"),
    ],
)
def test_a_fault_is_named_by_the_property_that_it_breaks(loss, by):
    broken, formula = next(pair for pair in BROKEN if pair[0].__name__ == loss)
    (case,) = (case for case in cases(spec_of(broken, formula)) if case.id == by)
    assert case.row().status == "fail"


def test_images_that_count_by_position_are_found_without_a_formula():
    class First(nn.Module):
        def forward(self, features: Tensor, labels: Tensor) -> Tensor:
            return features[:, 0].square().mean() + features[:, labels == 0].sum() / len(labels)

    (case,) = (case for case in cases(spec_of(First)) if case.id == "image-permutation")
    assert case.row().status == "fail"


def test_a_fault_that_loss_and_formula_share_is_found_at_a_point():
    pair = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    wrong = [({"predictions": pair, "projections": pair}, 0.5)]
    by = {row.property: row.status for row in rows_of(spec_of(Siamese, siamese, points=wrong))}
    assert by["formula-at-named-points"] == "fail"
    assert by["value-at-named-points"] == "fail"


def test_the_loss_gets_as_many_views_as_it_takes():
    class OneView(nn.Module):
        def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
            if len(logits) != 1:
                raise ValueError("one view, please")
            return nn.functional.cross_entropy(logits[0], labels)

    class FourViews(nn.Module):
        def forward(
            self, logits: Tensor, turns: Annotated[Tensor, Shape("V", "B", below=3)]
        ) -> Tensor:
            if len(logits) != 4:
                raise ValueError("four views, please")
            return nn.functional.cross_entropy(logits.flatten(0, 1), turns.flatten())

    for loss, views in ((OneView, 1), (FourViews, 4)):
        for example in LossSubject(spec_of(loss)).family.anchors():
            assert len(example.inputs["logits"]) == views


def test_letters_of_a_shape_are_supplied_to_the_constructor():
    class Turns(nn.Module):
        def __init__(self, num_views: int, num_classes: int) -> None:
            super().__init__()
            if num_views != 4:
                raise ValueError("four views, please")
            self.num_classes = num_classes

        def forward(self, turns: Annotated[Tensor, Shape("V", "B", "K")]) -> Tensor:
            assert turns.shape[-1] == self.num_classes
            return -turns.log_softmax(-1)[..., 0].mean()

    subject = LossSubject(spec_of(Turns))
    for example in subject.family.anchors():
        assert len(example.inputs["turns"]) == 4
        assert subject.value(subject.adapt(example)) > 0


def test_points_without_a_value_show_the_shapes_of_unknown_signals():
    class Places(nn.Module):
        def forward(self, tokens: Tensor, places: Tensor, labels: Tensor) -> Tensor:
            if len(labels) != tokens.shape[1] or not len(labels):
                raise ValueError("a label for each image, please")
            found = tokens.gather(2, places[None, :, :, None].expand(2, -1, -1, 5))
            return (found.square().mean((0, 2, 3)) * (1 + labels)).mean()

    def formula(tokens: Tensor, places: Tensor, labels: Tensor) -> Tensor:
        each = [
            torch.stack([tokens[v, b, p].square().mean() for p in row for v in (0, 1)]).mean()
            for b, row in enumerate(places.tolist())
        ]
        return (torch.stack(each) * (1 + labels)).mean()

    shown = {
        "tokens": torch.arange(120.0).view(2, 3, 4, 5).sin(),
        "places": torch.tensor([[0, 3], [1, 1], [2, 0]]),
        "labels": torch.tensor([0, 1, 2]),
    }
    spec = spec_of(Places, formula, points=[(shown, None)])
    by = {row.property: row.status for row in rows_of(spec)}
    assert "fail" not in by.values()
    assert by["image-permutation"] == by["value-matches-reference-float16"] == "pass"
    assert by["value-at-named-points"] == "n/a"
    assert not check(spec_of(Places, points=[(shown, None)]), mutation=False).certified

    class First(Places):
        def forward(self, tokens: Tensor, places: Tensor, labels: Tensor) -> Tensor:
            return super().forward(tokens, places[:1].expand_as(places), labels)

    broken = {
        row.property
        for row in rows_of(spec_of(First, formula, points=[(shown, None)]))
        if row.status == "fail"
    }
    assert "value-matches-reference-float64" in broken


def test_everything_that_the_engine_gives_can_be_drawn():
    from sslcore.contract.interface import ENGINE_SIGNALS

    for name in ENGINE_SIGNALS:
        assert name in ENGINE or shape_of(name) is not None, name


def test_signals_come_in_the_shapes_of_the_contract():
    class All(nn.Module):
        def forward(
            self,
            features: Tensor,
            teacher_projections: Tensor,
            mask: Tensor,
            labels: Tensor,
            indices: Tensor,
            texts: Annotated[Tensor, Shape("B", 7, below=50)],
            progress: float,
            left_out: Tensor | None = None,
        ) -> Tensor:
            assert mask.dtype == torch.bool
            assert mask.any()
            assert {item.dtype for item in (labels, indices, texts)} == {torch.int64}
            assert indices.unique().numel() == len(indices) == len(labels) == len(texts)
            assert 0 <= int(texts.min()) <= int(texts.max()) < 50
            assert texts.shape[1] == 7
            assert left_out is None
            return features.square().mean() * (1 + progress) + teacher_projections.sum() * 0

    subject = LossSubject(spec_of(All))
    assert subject.family.trainable == ("features",)
    for example in subject.family.anchors():
        assert subject.value(subject.adapt(example)) > 0


def test_the_classes_of_a_supervised_loss_are_those_of_its_labels():
    class Counted(nn.Module):
        def __init__(self, num_classes: int, num_images: int) -> None:
            super().__init__()
            self.num_classes, self.num_images = num_classes, num_images

        def forward(self, projections: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
            assert int(labels.max()) < self.num_classes
            assert int(indices.max()) < self.num_images
            return projections.square().mean()

    subject = LossSubject(spec_of(Counted))
    for example in subject.family.anchors():
        assert subject.value(subject.adapt(example)) > 0


def test_a_formula_that_asks_for_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"asks for 'predictionz'.*nearest: predictions"):
        LossSubject(spec_of(Siamese, lambda predictionz: predictionz)).reference(
            LossSubject(spec_of(Siamese)).family.anchors()[0]
        )


def test_settings_of_every_kind_are_varied_and_given_to_the_formula():
    seen = set()

    class Scaled(Supervised):
        def __init__(self, *, squared: bool = False, power: int = 1, base: float = 2.0) -> None:
            seen.add((squared, power, base))
            super().__init__()

    subject = LossSubject(
        spec_of(Scaled, lambda projections, squared, power, base: projections.sum())
    )
    for example in subject.family.anchors():
        subject.make(subject.adapt(example))
    for column in zip(*seen, strict=True):
        assert len(set(column)) > 1


def test_weights_are_those_of_the_loss_in_each_type():
    subject = LossSubject(spec_of(Captions, captions))
    example = subject.adapt(subject.family.anchors()[0])
    for dtype in (torch.float64, torch.float32, torch.float16):
        assert subject.make(example.to(dtype)).scale.dtype == dtype
    assert subject.family.formula is not None
    assert list(subject.family.formula.state(example)) == ["scale"]


class _NearItsClass(nn.Module):
    def forward(self, projections: Tensor, labels: Tensor) -> Tensor:
        same = (labels[:, None] == labels).to(projections.dtype)
        mean = (same @ projections.mean(0)) / same.sum(1, keepdim=True)
        return (projections - mean).square().sum(-1).mean()


def test_invariances_move_labels_with_their_images_and_not_with_views():
    spec = LossSpec(_NearItsClass, "custom", invariances=("joint-permutation", "view-swap"))
    rows = {case.what.name: case.row() for case in cases(spec)}
    found = {name: rows[name].status for name in spec.invariances}
    assert found == {"joint-permutation": "pass", "view-swap": "pass"}
