"""Presets of methods: chosen by name, by data set or by the size of the images, and recorded."""

from __future__ import annotations

import types

import numpy as np
import pytest
from PIL import Image

import sslcore
from sslcore.api import make_recipe
from sslcore.errors import UsageError
from sslcore.runs.folder import Run


@pytest.fixture
def presets(registry):
    """A registry with a method of three presets: for hands, for small and for large images."""
    registry.register(
        types.SimpleNamespace(sslcore_methods=sslcore.hookimpl(lambda: iter([_method()]))),
        name="preset",
        distribution="preset",
        version="1",
    )
    return registry


def _method() -> sslcore.Method:
    return sslcore.Method(
        name="sized",
        summary="s",
        augmentation="two-views",
        encoder="small-cnn",
        head="projection",
        loss="nt-xent",
        settings={
            "encoder": {"widths": (4,)},
            "optimizer": {"name": "SGD", "lr": 0.5, "momentum": 0.5},
        },
        presets=(
            sslcore.Preset(name="quick", summary="q", up_to=0, settings={"loss": {}}),
            sslcore.Preset(
                name="small",
                summary="of the paper's appendix",
                up_to=64,
                settings={"optimizer": {"lr": 0.25}, "loss": {"temperature": 0.25}},
                defaults={"augmentation": {"flip": 0.75, "hue": 0.25}},
            ),
            sslcore.Preset(
                name="large",
                summary="l",
                encoder="cnn4",
                settings={"optimizer": {"name": "Adam", "lr": 0.125}},
            ),
        ),
    )


def _recipe(registry, **asked):
    asked.setdefault("data", "cifar10")
    return make_recipe("sized", registry=registry, **asked)


def _folder(path, size, count=12):
    path.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(path / f"{number}.png")
    return str(path)


@pytest.mark.parametrize(
    ("size", "preset"), [(1, "small"), (64, "small"), (65, "large"), (224, "large")]
)
def test_the_size_of_the_images_chooses_the_preset(presets, size, preset):
    recipe, notes = _recipe(presets, settings={"data": {"image_size": size}})
    assert recipe.training.preset == preset
    assert notes[0].startswith(f"sized with the preset {preset}, for images of {size} px: ")


def test_a_preset_adds_to_the_method_and_wins(presets):
    recipe, _ = _recipe(presets)
    assert recipe.training.preset == "small"
    assert recipe.loss.settings["temperature"] == 0.25
    assert (recipe.optimizer.settings["lr"], recipe.optimizer.settings["momentum"]) == (0.25, 0.5)
    assert recipe.encoder.settings["widths"] == (4,)
    recipe, _ = _recipe(presets, settings={"loss": {"temperature": 0.75}})
    assert recipe.loss.settings["temperature"] == 0.75


def test_what_a_preset_would_have_yields_to_the_data_set(presets):
    recipe, _ = _recipe(presets, data="digits", settings={"training": {"preset": "small"}})
    # The digits must not be mirrored.
    assert [recipe.augmentation.settings[name] for name in ("flip", "hue")] == [0.0, 0.25]


def test_another_encoder_or_optimizer_of_a_preset_comes_without_the_methods_settings(presets):
    recipe, _ = _recipe(presets, settings={"training": {"preset": "large"}})
    assert recipe.encoder.name == "cnn4"
    assert recipe.optimizer.name == "adam"
    assert "momentum" not in recipe.optimizer.settings


def test_a_data_set_may_name_a_preset_and_the_user_another(presets):
    recipe, notes = _recipe(presets, data="digits")
    assert recipe.training.preset == "quick"
    assert "as digits suggests" in notes[0]
    assert "--set training.preset=NAME takes another: small, large" in notes[0]
    recipe, notes = _recipe(presets, data="digits", settings={"training": {"preset": "large"}})
    assert (recipe.training.preset, notes) == ("large", [])
    recipe, notes = _recipe(presets, settings={"training": {"preset": "none"}})
    assert (recipe.training.preset, recipe.optimizer.settings["lr"], notes) == ("none", 0.5, [])


def test_an_unknown_preset_is_refused_with_those_that_there_are(presets):
    with pytest.raises(UsageError, match="no preset 'smal'; nearest: small; it has quick, small"):
        _recipe(presets, settings={"training": {"preset": "smal"}})
    with pytest.raises(UsageError, match="cpc has no preset 'small'; it has none"):
        make_recipe("cpc", settings={"training": {"preset": "small"}}, registry=presets)


def test_a_recipe_repeats_its_preset_on_other_data(presets):
    recipe, _ = _recipe(presets)
    again, notes = make_recipe(config=recipe.to_dict(), data="digits", registry=presets)
    assert (again.training.preset, notes) == ("small", [])


def test_a_recipe_from_before_there_were_presets_stays_as_it_is(presets):
    recipe, _ = _recipe(presets, settings={"training": {"preset": "none"}})
    tables = recipe.to_dict()
    del tables["training"]["preset"]
    again, notes = make_recipe(config=tables, registry=presets)
    assert again.differences(recipe) == []
    assert notes == []


@pytest.mark.parametrize(("size", "preset"), [(16, "small"), (72, "large")])
def test_images_of_a_folder_choose_the_preset_when_they_are_opened(
    presets, tmp_path, console, size, preset
):
    folder = _folder(tmp_path / "images", size)
    recipe, notes = _recipe(presets, data=folder)
    assert recipe.training.preset == "auto"
    assert notes[0].startswith("the size of the images decides on the preset: small (up to 64 px)")
    run = sslcore.train(
        "sized",
        data=folder,
        settings={"training": {"epochs": 1, "batch_size": 4}},
        output=tmp_path / "run",
        evaluate=False,
        console=console,
        registry=presets,
    )
    config = Run.open(run.path).config()
    assert config["training"]["preset"] == preset
    assert config["optimizer"]["name"].casefold() == {"small": "sgd", "large": "adam"}[preset]
    said = console.file.getvalue()
    assert said.count("with the preset") == 1
    assert f"with the preset {preset}, for images of {size} px" in said


def test_records_of_presets_are_checked():
    def made(**wrong):
        return sslcore.Preset(**{"name": "p", "summary": "s", **wrong})

    for wrong in ({"name": "auto"}, {"up_to": -1}, {"settings": {"no-section": {}}}):
        with pytest.raises(ValueError, match="preset"):
            made(**wrong)
    with pytest.raises(ValueError, match="two presets have one name"):
        sslcore.Method(
            name="m",
            summary="s",
            augmentation="a",
            encoder="e",
            head=None,
            loss="l",
            presets=(made(), made()),
        )
