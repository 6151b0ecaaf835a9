"""What goes together, and what is said where it doesn't."""

from __future__ import annotations

import dataclasses
import tomllib
import types
from typing import NotRequired, Required, TypedDict

import pytest
import torch
from torch import Tensor, nn

import sslcore
from sslcore.api import build, make_recipe
from sslcore.assembly import ImageShape, build_pipeline
from sslcore.errors import CompositionError, SettingsError, UsageError
from sslcore.interface import provided_by
from sslcore.metrics import read_metrics
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


def test_settings_are_layered_signature_data_method_config_set(registry):
    def epochs(**options):
        recipe, _ = make_recipe("simclr", registry=registry, **options)
        return recipe.training.epochs, recipe.loss.settings["temperature"]

    assert epochs(data="noise") == (1, 0.5)
    config = {"training": {"epochs": 7}, "loss": {"temperature": 0.3}}
    assert epochs(data="noise", config=config) == (7, 0.3)
    settings = {"training": {"epochs": 9}}
    assert epochs(data="noise", config=config, settings=settings) == (9, 0.3)


def test_what_a_method_would_have_yields_to_the_data_set_and_what_it_must_have_does_not(
    registry,
):
    method = sslcore.Method(
        name="layered",
        summary="s",
        augmentation="two-views",
        encoder="small-cnn",
        head="projection",
        loss="nt-xent",
        settings={"augmentation": {"flip": 0.25}},
        defaults={
            "augmentation": {"flip": 0.75, "degrees": 3.0, "translate": 0.125},
            "training": {"epochs": 33, "log_every": 3},
        },
    )
    plugin = types.SimpleNamespace(sslcore_methods=sslcore.hookimpl(lambda: iter([method])))
    registry.register(plugin, name="layered", distribution="layered", version="1")

    def layered(**asked):
        recipe, _ = make_recipe("layered", registry=registry, **asked)
        return recipe.augmentation.settings, recipe.training

    # The digits say degrees and epochs themselves.
    settings, training = layered(data="digits")
    assert [settings[name] for name in ("flip", "degrees", "translate")] == [0.25, 15.0, 0.125]
    assert (training.epochs, training.log_every) == (10, 3)
    settings, training = layered(data="noise")
    assert [settings[name] for name in ("flip", "degrees", "translate")] == [0.25, 3.0, 0.125]
    other, _ = layered(augmentation="two-views", settings={"augmentation": {"degrees": 1.0}})
    assert other["degrees"] == 1.0
    with pytest.raises(ValueError, match="defaults: no section 'optimizer'"):
        dataclasses.replace(method, defaults={"optimizer": {"lr": 1.0}})


def test_a_data_sets_default_of_another_type_than_the_parts_is_not_meant_for_it(registry, add):
    class OneWidth(nn.Module):
        def __init__(self, feature_dim: int, *, hidden: int = 7) -> None:
            super().__init__()
            self.layer = nn.Linear(feature_dim, hidden)

        def forward(self, features: Tensor) -> Projections:
            return {"projections": self.layer(features)}

    add(registry, "head", OneWidth)
    # For the digits, hidden is a list of widths.
    recipe, _ = make_recipe("simclr", data="digits", head="made-up", registry=registry)
    assert recipe.head.settings["hidden"] == 7


def test_a_methods_settings_go_with_its_own_parts_only(registry):
    own, _ = make_recipe("infonce", registry=registry)
    assert own.head.settings["normalize"] is True
    other, _ = make_recipe("infonce", head="prediction", registry=registry)
    assert "normalize" not in other.head.settings


def test_a_recipe_written_as_toml_reads_back_as_itself(registry, tmp_path):
    for method in registry.names("method"):
        data = "noise" if method == "agreement" else "digits"
        recipe, _ = make_recipe(method, data=data, registry=registry)
        path = tmp_path / f"{method}.toml"
        path.write_text(recipe.to_toml())
        again, _ = make_recipe(config=path, registry=registry)
        assert again == recipe, method


def test_the_first_augmentation_of_a_method_that_takes_the_data_is_used(registry):
    images, _ = make_recipe("cpc", data="digits", registry=registry)
    clips, _ = make_recipe("cpc", data="moving-digits", registry=registry)
    assert (images.augmentation.name, clips.augmentation.name) == ("patches", "frames")


def test_a_folder_as_data_is_opened_by_the_data_set_that_opens_paths(registry, tmp_path):
    recipe, _ = make_recipe("simclr", data=str(tmp_path), registry=registry)
    assert recipe.data.settings["path"] == str(tmp_path)


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
    assert "(there is views, features, feature_maps, projections)" in str(said.value)
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


def test_a_setting_that_the_method_has_wrong_is_said_to_be_the_methods(registry):
    method = sslcore.Method(
        name="wrong",
        summary="s",
        augmentation="two-views",
        encoder="small-cnn",
        head="projection",
        loss="nt-xent",
        settings={"head": {"dims": 3}},
    )
    plugin = types.SimpleNamespace(sslcore_methods=sslcore.hookimpl(lambda: iter([method])))
    registry.register(plugin, name="wrong", distribution="wrong", version="1")
    with pytest.raises(SettingsError, match=r"head\.dims.*nearest: dim.*as method wrong"):
        make_recipe("wrong", registry=registry)
    with pytest.raises(SettingsError) as said:
        make_recipe("wrong", settings={"head": {"dims": 4}}, registry=registry)
    assert "as method" not in str(said.value)


class Slipped(nn.Module):
    def forward(self, projections: Tensor) -> Tensor:
        return projections.no_such_thing()


def test_a_slip_in_a_parts_code_is_told_with_its_file_and_line(registry, add):
    add(registry, "loss", Slipped)
    with pytest.raises(CompositionError, match=r"\(AttributeError, test_composition.py line \d+\)"):
        _pipeline(registry, loss="made-up")


def test_an_annotated_recipe_says_what_the_data_set_suggests_and_reads_back(registry):
    recipe, _ = make_recipe(
        "simclr",
        data="digits",
        settings={"augmentation": {"degrees": 15.0}, "training": {"epochs": 3}},
        registry=registry,
    )
    text = recipe.annotated()
    assert "batch_size = 64  # as digits suggests\n" in text
    assert "mean = [  # as digits suggests\n" in text
    # What a user says is the user's, though the data set says the same.
    assert "degrees = 15.0\n" in text
    assert "epochs = 3\n" in text
    assert tomllib.loads(text) == tomllib.loads(recipe.to_toml())
