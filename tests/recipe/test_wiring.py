"""Compatible parts, and the messages for incompatible parts."""

from __future__ import annotations

from typing import NotRequired, Required, TypedDict

import pytest
import torch
from torch import Tensor, nn

import sslcore
from sslcore.api import build, make_recipe
from sslcore.contract.interface import provided_by
from sslcore.errors import CompositionError, SettingsError, UsageError
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.runs.metrics import read_metrics
from sslcore.signals import Features, Projections


def _pipeline(registry, **parts):
    recipe, _ = make_recipe("simclr", registry=registry, **parts)
    return build_pipeline(recipe, ImageShape(16, 1))


class NeedsNothingKnown(nn.Module):
    def forward(self, projektions: Tensor) -> Tensor:
        return projektions.sum()


def test_a_signal_that_nobody_provides_is_named(registry, add):
    add(registry, "loss", NeedsNothingKnown)
    with pytest.raises(CompositionError, match=r"loss made-up .*made-up-dist 1.2\) needs proj"):
        make_recipe("simclr", loss="made-up", registry=registry)


def test_a_missing_signal_comes_with_the_components_that_would_provide_it(registry):
    with pytest.raises(CompositionError, match=r"needs projections.* head projection"):
        make_recipe("simclr", head="none", registry=registry)


def test_a_loss_that_reads_a_teacher_says_how_to_add_one(registry):
    with pytest.raises(CompositionError, match=r"add a teacher: --set teacher\.momentum"):
        make_recipe("simclr", head="prediction", loss="byol", registry=registry)
    settings = {"teacher": {"momentum": 0.9}}
    recipe, _ = make_recipe(
        "simclr", head="prediction", loss="byol", settings=settings, registry=registry
    )
    assert recipe.teacher == sslcore.Teacher(momentum=0.9)


class Supervised(nn.Module):
    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return features[0, :, 0].mean() * labels.float().mean()


def test_labels_reach_a_loss_that_is_marked_as_supervised_and_no_other(registry, add):
    add(registry, "loss", Supervised)
    with pytest.raises(CompositionError, match="supervised=True"):
        make_recipe("simclr", loss="made-up", registry=registry)


def test_a_supervised_loss_gets_the_labels_of_its_images(registry, add, tiny, console):
    add(registry, "loss", Supervised, supervised=True)
    sslcore.train(
        "simclr",
        data="noise",
        head="none",
        loss="made-up",
        settings=tiny,
        registry=registry,
        console=console,
        evaluate=False,
    )


class Vector(nn.Module):
    def forward(self, projections: Tensor) -> Tensor:
        return projections.square().mean(-1)


class WrongShape(nn.Module):
    def forward(self, projections: Tensor) -> Tensor:
        return (projections @ torch.zeros(3, 3)).sum()


class Refuses(nn.Module):
    def __init__(self, projection_dim: int) -> None:
        raise ValueError(f"projections of {projection_dim} are too short")

    def forward(self, projections: Tensor) -> Tensor:
        return projections.sum()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Vector, "must return a scalar tensor, got shape"),
        (WrongShape, "can't work on images of 16 px with 1 channel: .*it was given"),
        (Refuses, "loss made-up .*projections of 128 are too short"),
    ],
)
def test_what_only_a_shape_tells_is_told_before_the_first_image(registry, add, target, said):
    add(registry, "loss", target)
    with pytest.raises(CompositionError, match=said):
        _pipeline(registry, loss="made-up")


class SaysNothing(nn.Module):
    def forward(self, features: Tensor):
        return {"projections": features}


def test_a_stage_must_say_what_it_provides(registry, add):
    add(registry, "head", SaysNothing)
    with pytest.raises(CompositionError, match="must return a TypedDict"):
        make_recipe("simclr", head="made-up", registry=registry)


class Marked(TypedDict):
    projections: Tensor
    predictions: NotRequired[Tensor]


class Partial(TypedDict, total=False):
    projections: Required[Tensor]
    predictions: Tensor


@pytest.mark.parametrize("returned", [Marked, Partial])
def test_what_is_not_always_there_may_be_marked_so_in_either_way(returned):
    def forward(features: Tensor):
        raise NotImplementedError

    forward.__annotations__["return"] = returned
    assert provided_by(forward) == {"projections": True, "predictions": False}


class Noted(TypedDict):
    loss: Tensor
    agreement: Tensor


class Notes(nn.Module):
    def forward(self, projections: Tensor, progress: float, temperature_map: int = 3) -> Noted:
        assert temperature_map == 3
        value = projections.square().mean()
        return {"loss": value, "agreement": value.detach() * 0 + progress}


def test_a_loss_may_return_further_numbers_which_are_logged(registry, add, tiny, console):
    add(registry, "loss", Notes)
    run = sslcore.train(
        "simclr",
        data="noise",
        loss="made-up",
        settings=tiny,
        registry=registry,
        console=console,
        evaluate=False,
    )
    lines = read_metrics(run.path / "metrics.jsonl")
    assert [line["agreement"] for line in lines] == pytest.approx([0, 1 / 3, 2 / 3])


class Flat(nn.Module):
    seen: tuple

    def __init__(self, image_size: int, channels: int, num_views: int) -> None:
        super().__init__()
        assert (image_size, channels, num_views) == (16, 1, 2)
        self.layer = nn.Linear(image_size**2, 5)

    def forward(self, views: Tensor) -> Features:
        self.seen = tuple(views.shape)
        return {"features": self.layer(views.flatten(1))}


class Checks(nn.Module):
    def __init__(self, feature_dim: int, feature_map_shape: tuple | None) -> None:
        super().__init__()
        assert feature_dim == 5
        assert feature_map_shape is None
        self.layer = nn.Linear(feature_dim, 3)

    def forward(self, features: Tensor) -> Projections:
        assert features.shape[0] == 2
        return {"projections": self.layer(features)}


def test_parts_are_supplied_with_what_they_ask_for_and_see_the_shapes_of_the_contract(
    registry, add
):
    add(registry, "encoder", Flat)
    add(registry, "head", Checks)
    pipeline = _pipeline(registry, encoder="made-up", head="made-up")
    signals = pipeline(torch.rand(6, 1, 16, 16), random=sslcore.BatchRandom(0, 0, 6))
    assert pipeline.encoder.seen == (12, 1, 16, 16)
    assert signals["features"].shape == (2, 6, 5)
    assert signals["projections"].shape == (2, 6, 3)
    assert signals["loss"].shape == ()


def test_building_a_pipeline_leaves_batch_norm_and_the_global_generator_alone(registry):
    state = torch.get_rng_state()
    pipeline = _pipeline(registry)
    assert torch.equal(torch.get_rng_state(), state)
    for name, buffer in pipeline.named_buffers():
        if name.endswith("running_mean"):
            assert not buffer.any()
        if name.endswith("num_batches_tracked"):
            assert buffer == 0


def test_initial_weights_are_a_function_of_the_seed(registry):
    def weights(seed):
        settings = {"training": {"seed": seed}}
        return torch.cat([p.flatten() for p in _pipeline(registry, settings=settings).parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_the_first_augmentation_of_a_method_that_takes_the_data_is_used(registry):
    images, _ = make_recipe("cpc", data="digits", registry=registry)
    clips, _ = make_recipe("cpc", data="moving-digits", registry=registry)
    assert (images.augmentation.name, clips.augmentation.name) == ("patches", "frames")


def test_build_gives_a_component_by_name():
    loss = build("loss", "nt-xent", temperature=0.2)
    assert loss(torch.randn(2, 4, 8)).shape == ()
    assert build("head", "projection", feature_dim=5, dim=3)(torch.randn(2, 4, 5))[
        "projections"
    ].shape == (2, 4, 3)


def test_build_reports_every_mistake_at_once():
    with pytest.raises(SettingsError) as refused:
        build("head", "projection", dim=0, hiden=(3,))
    assert len(refused.value.problems) == 3
    assert "nearest: hidden" in str(refused.value)
    assert "feature_dim" in str(refused.value)
    with pytest.raises(UsageError, match="train it with"):
        build("method", "simclr")


class NeedsProjektion(nn.Module):
    def forward(self, projektion: Tensor) -> Tensor:
        return projektion.sum()


class NeedsALength(nn.Module):
    def forward(self, feature_dim: int) -> Tensor:
        return torch.zeros(feature_dim)


def test_a_missing_signal_comes_with_those_that_are_there_and_the_nearest(registry, add):
    add(registry, "loss", NeedsProjektion)
    with pytest.raises(CompositionError) as said:
        make_recipe("simclr", loss="made-up", registry=registry)
    assert "(there is views, teacher_views, features, feature_maps, projections)" in str(said.value)
    assert "nearest: projections" in str(said.value)


def test_what_the_engine_supplies_to_constructors_is_no_signal_and_it_says_so(registry, add):
    add(registry, "loss", NeedsALength)
    with pytest.raises(CompositionError, match="feature_dim is for the constructor to ask for"):
        make_recipe("simclr", loss="made-up", registry=registry)


def test_a_parameter_that_is_nearly_one_the_engine_supplies_is_taken_for_a_slip(registry, add):
    class Slip(nn.Module):
        def __init__(self, features_dim: int) -> None:
            super().__init__()

        def forward(self, features: Tensor) -> Projections:
            raise NotImplementedError

    add(registry, "head", Slip)
    with pytest.raises(SettingsError, match=r"nearest: feature_dim.*, which the engine supplies"):
        make_recipe("simclr", head="made-up", registry=registry)


class Slipped(nn.Module):
    def forward(self, projections: Tensor) -> Tensor:
        return projections.no_such_thing()


def test_a_slip_in_a_parts_code_is_told_with_its_file_and_line(registry, add):
    add(registry, "loss", Slipped)
    with pytest.raises(CompositionError, match=r"\(AttributeError, test_wiring.py line \d+\)"):
        _pipeline(registry, loss="made-up")
