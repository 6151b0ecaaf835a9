"""Precedence of settings: signature, method, data set, file and command line make a recipe."""

from __future__ import annotations

import dataclasses
import tomllib
import types

import pytest
from torch import Tensor, nn

import sslcore
from sslcore.api import make_recipe
from sslcore.errors import SettingsError
from sslcore.signals import Projections


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

    # The digits set degrees and epochs themselves.
    settings, training = layered(data="digits")
    assert [settings[name] for name in ("flip", "degrees", "translate")] == [0.25, 15.0, 0.125]
    assert (training.epochs, training.log_every) == (10, 3)
    settings, training = layered(data="noise")
    assert [settings[name] for name in ("flip", "degrees", "translate")] == [0.25, 3.0, 0.125]
    other, _ = layered(augmentation="two-views", settings={"augmentation": {"degrees": 1.0}})
    assert other["degrees"] == 1.0
    with pytest.raises(ValueError, match="defaults: no section 'optimizer'"):
        dataclasses.replace(method, defaults={"optimizer": {"lr": 1.0}})


def test_a_data_sets_suggestions_are_for_the_part_that_they_name(registry, add):
    class Projection(nn.Module):
        def __init__(self, feature_dim: int, *, hidden: tuple[int, ...] = (7,)) -> None:
            super().__init__()
            self.layer = nn.Linear(feature_dim, hidden[0])

        def forward(self, features: Tensor) -> Projections:
            return {"projections": self.layer(features)}

    # The digits suggest widths for the head `projection` that ships.
    add(registry, "head", Projection, name="projection")
    for head, hidden in (("projection", (256,)), ("made-up-dist:projection", (7,))):
        recipe, _ = make_recipe("simclr", data="digits", head=head, registry=registry)
        assert recipe.head.settings["hidden"] == hidden
        assert ("hidden" in recipe.by_data["head"]) == (head == "projection")


def test_a_setting_that_a_data_set_suggests_wrongly_is_said_to_be_the_data_sets(registry):
    dataset = sslcore.Dataset(
        name="wrong",
        summary="s",
        build="data_plugin:deep_noise",
        defaults={"loss:nt-xent": {"temperture": 1.0}, "head:projection": {"dim": "wide"}},
    )
    plugin = types.SimpleNamespace(sslcore_datasets=sslcore.hookimpl(lambda: iter([dataset])))
    registry.register(plugin, name="wrong", distribution="wrong", version="1")
    with pytest.raises(SettingsError) as said:
        make_recipe("simclr", data="wrong", registry=registry)
    assert "loss.temperture: no such setting; nearest: temperature" in str(said.value)
    assert "head.dim: expected" in str(said.value)
    assert str(said.value).count("(as dataset wrong (from wrong 1) suggests)") == 2
    make_recipe("dino", data="wrong", registry=registry)


def test_a_methods_settings_go_with_its_own_parts_only(registry):
    own, _ = make_recipe("infonce", registry=registry)
    assert own.head.settings["normalize"] is True
    other, _ = make_recipe("infonce", head="prediction", registry=registry)
    assert "normalize" not in other.head.settings


def test_a_recipe_written_as_toml_reads_back_as_itself(registry, tmp_path):
    for method in registry.names("method"):
        data = "noise" if method == "agreement" else None
        recipe, _ = make_recipe(method, data=data, registry=registry)
        path = tmp_path / f"{method}.toml"
        path.write_text(recipe.to_toml())
        again, _ = make_recipe(config=path, registry=registry)
        assert again == recipe, method


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
    # A user's setting counts as the user's, even if the data set has the same value.
    assert "degrees = 15.0\n" in text
    assert "epochs = 3\n" in text
    assert tomllib.loads(text) == tomllib.loads(recipe.to_toml())
