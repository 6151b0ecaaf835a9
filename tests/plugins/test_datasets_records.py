"""The records of encoders and data sets: their references resolve and have help texts."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sslcore_torchvision
from sslcore.contract.interface import interface_of, load_reference, provided_by
from sslcore.contract.settings import settings_of
from sslcore.recipe.recipe import Training
from sslcore_torchvision.suggestions import NORMALISING

ENCODERS = list(sslcore_torchvision.sslcore_encoders())
DATASETS = list(sslcore_torchvision.sslcore_datasets())
TRAINING = settings_of(Training)


def name(record) -> str:
    return record.name


def test_the_names_are_those_that_methods_refer_to():
    assert [record.name for record in ENCODERS] == [
        "small-cnn",
        "cnn4",
        "resnet18",
        "resnet34",
        "resnet50",
        "vit",
    ]
    assert [record.name for record in DATASETS] == [
        "digits",
        "moving-digits",
        "cifar10",
        "cifar100",
        "stl10",
        "fashion-mnist",
        "folder",
        "tiles",
    ]


def test_one_data_set_is_the_default_and_one_opens_folders():
    assert [record.name for record in DATASETS if record.default] == ["digits"]
    assert [record.name for record in DATASETS if "/" in record.opens] == ["folder"]
    assert [record.name for record in DATASETS if record.clips] == ["moving-digits"]


#: Data sets of what users have: the path must be given.
PATHS = ("folder", "tiles")


@pytest.mark.parametrize("record", [*ENCODERS, *DATASETS], ids=name)
def test_every_setting_is_typed_and_explained(record):
    for setting in settings_of(load_reference(record.build)).values():
        if record.kind == "encoder" and setting.name in ("image_size", "channels"):
            continue
        assert setting.help, setting.name
        assert setting.type != "any value", setting.name
        if setting.default is not setting.annotation and record.name not in PATHS:
            assert setting.validate(setting.default) == setting.default


@pytest.mark.parametrize("record", ENCODERS, ids=name)
def test_an_encoder_asks_for_the_views_shape_and_gives_features_and_maps(record):
    encoder = load_reference(record.build)
    interface = interface_of(encoder)
    assert interface.supplied == {"image_size": True, "channels": True}
    assert [signal for signal, needed in interface.needs.items() if needed] == ["views"]
    assert provided_by(encoder.forward).keys() >= {"features", "feature_maps"}


@pytest.mark.parametrize("record", DATASETS, ids=name)
def test_mean_and_std_are_given_for_as_many_channels_as_the_images_have(record):
    if record.name in PATHS:
        assert record.defaults == {}
        return
    channels = 3 if record.name in ("cifar10", "cifar100", "stl10") else 1
    for augmentation in NORMALISING:
        suggested = record.defaults[f"augmentation:{augmentation}"]
        assert len(suggested["mean"]) == len(suggested["std"]) == channels


@pytest.mark.parametrize("record", [r for r in DATASETS if "digits" in r.name], ids=name)
def test_mean_and_std_of_the_digits_are_theirs(record):
    images = load_reference(record.build)().train.images.double() / 255
    suggested = record.defaults["augmentation:two-views"]
    assert suggested["mean"][0] == pytest.approx(images.mean().item(), abs=1e-3)
    assert suggested["std"][0] == pytest.approx(images.std().item(), abs=1e-3)


def test_every_shipped_augmentation_that_normalises_gets_mean_and_std(registry):
    shipped = [entry for entry in registry.entries("augmentation") if entry.origin.shipped]
    normalising = {entry.name for entry in shipped if "mean" in entry.interface().settings}
    assert normalising == set(NORMALISING)


@pytest.mark.parametrize("record", DATASETS, ids=name)
def test_what_a_data_set_suggests_is_valid_for_the_part_that_it_names(record, registry):
    for key, values in record.defaults.items():
        kind, colon, part = key.partition(":")
        known = registry.resolve(kind, part).interface().settings if colon else TRAINING
        for setting, value in values.items():
            assert known[setting].validate(value) == value, (key, setting)


def test_listing_the_records_does_not_import_torch():
    code = (
        "import sys, sslcore_torchvision as plugin;"
        "list(plugin.sslcore_encoders()); list(plugin.sslcore_datasets());"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
