"""Names of parts with a variant: a colon and the value of one setting."""

from __future__ import annotations

from typing import Literal

import pytest
from torch import Tensor, nn

import sslcore
from sslcore.api import make_recipe
from sslcore.errors import SettingsError, UnknownNameError
from sslcore.signals import Features


class Backbone(nn.Module):
    """A linear layer of a size that has a name.

    Args:
        model: small or large_v2.
    """

    def __init__(
        self, image_size: int, channels: int, *, model: Literal["small", "large_v2"] = "small"
    ) -> None:
        super().__init__()
        self.model = model
        self.layer = nn.Linear(channels * image_size**2, 4 if model == "small" else 8)

    def forward(self, views: Tensor) -> Features:
        return {"features": self.layer(views.flatten(1))}


class Tiny(Backbone):
    """Another one.

    Args:
        model: small or large_v2.
    """


@pytest.fixture
def zoo(registry, add):
    add(registry, "encoder", Backbone, name="zoo", variant="model")
    return registry


def encoder_of(zoo, **asked):
    return make_recipe("simclr", registry=zoo, **asked)[0].encoder


def test_what_stands_after_the_colon_is_the_setting(zoo):
    part = encoder_of(zoo, encoder="zoo:large_v2")
    assert (part.name, part.settings) == ("zoo", {"model": "large_v2"})
    assert encoder_of(zoo, encoder="zoo").settings == {"model": "small"}


def test_it_may_be_said_wherever_a_name_may(zoo):
    in_file = {"encoder": {"name": "zoo:large_v2"}}
    assert encoder_of(zoo, config=in_file).settings == {"model": "large_v2"}
    assert encoder_of(zoo, settings=in_file).settings == {"model": "large_v2"}
    built = sslcore.build("encoder", "zoo:large_v2", image_size=8, channels=1, registry=zoo)
    assert built.model == "large_v2"


def test_what_set_says_wins(zoo):
    part = encoder_of(zoo, encoder="zoo:large_v2", settings={"encoder": {"model": "small"}})
    assert part.settings == {"model": "small"}


def test_a_recipe_says_name_and_setting_apart_and_reads_back(zoo):
    recipe, _ = make_recipe("simclr", encoder="zoo:large_v2", registry=zoo)
    table = recipe.to_dict()["encoder"]
    assert table["name"] == "made-up-dist:zoo"
    assert table["model"] == "large_v2"
    assert make_recipe(config=recipe.to_dict(), registry=zoo)[0] == recipe


def test_a_value_that_is_none_of_the_settings_is_refused_as_ever(zoo):
    with pytest.raises(SettingsError, match=r"encoder.model: expected .* got 'huge'"):
        encoder_of(zoo, encoder="zoo:huge")


def test_a_distribution_of_that_name_comes_first(zoo, add):
    add(zoo, "encoder", Tiny, name="tiny", distribution="zoo")
    assert encoder_of(zoo, encoder="zoo:tiny").origin.distribution == "zoo"
    assert encoder_of(zoo, encoder="zoo:large_v2").settings == {"model": "large_v2"}


def test_without_a_variant_in_its_record_a_colon_means_a_distribution(registry, add):
    add(registry, "encoder", Backbone, name="zoo")
    with pytest.raises(UnknownNameError, match="zoo:large_v2"):
        encoder_of(registry, encoder="zoo:large_v2")


@pytest.mark.parametrize("variant", ["two words", "a:b", 3])
def test_a_variant_that_names_no_setting_is_refused_when_the_record_is_made(variant):
    with pytest.raises(ValueError, match="variant must be the name of a setting"):
        sslcore.Encoder(name="zoo", summary="s", build="m:C", variant=variant)
