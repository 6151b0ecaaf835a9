"""The records of encoders and data sets: their references resolve and have help texts."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sslcore_torchvision
from sslcore.contract.interface import interface_of, load_reference, provided_by
from sslcore.contract.settings import settings_of

ENCODERS = list(sslcore_torchvision.sslcore_encoders())
DATASETS = list(sslcore_torchvision.sslcore_datasets())


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
    augmentation = record.defaults.get("augmentation", {})
    if record.name in PATHS:
        assert augmentation == {}
        return
    channels = 3 if record.name in ("cifar10", "cifar100", "stl10") else 1
    assert len(augmentation["mean"]) == len(augmentation["std"]) == channels


@pytest.mark.parametrize("record", [r for r in DATASETS if "digits" in r.name], ids=name)
def test_mean_and_std_of_the_digits_are_theirs(record):
    images = load_reference(record.build)().train.images.double() / 255
    augmentation = record.defaults["augmentation"]
    assert augmentation["mean"][0] == pytest.approx(images.mean().item(), abs=1e-3)
    assert augmentation["std"][0] == pytest.approx(images.std().item(), abs=1e-3)


def test_listing_the_records_does_not_import_torch():
    code = (
        "import sys, sslcore_torchvision as plugin;"
        "list(plugin.sslcore_encoders()); list(plugin.sslcore_datasets());"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
