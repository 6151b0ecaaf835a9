"""The ResNets: equality with torchvision's, stems, and pretrained weights."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle

import pytest
import torch
import torchvision
from torchvision.models import WeightsEnum

from sslcore_torchvision.resnet import ResNet18, ResNet34, ResNet50

RESNET18_FILE = torchvision.models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """Return an empty torch.hub folder, without access to the network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def publish(checkpoints, monkeypatch):
    """Return a function that makes a file the published weights of ResNet-18, and puts it there."""

    def published(content):
        name = f"resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        weights = dataclasses.replace(
            torchvision.models.ResNet18_Weights.DEFAULT.value, url=f"https://nowhere.test/{name}"
        )
        known = WeightsEnum("Known", {"DEFAULT": weights})
        monkeypatch.setattr(torchvision.models, "get_model_weights", lambda architecture: known)
        (checkpoints / name).write_bytes(content)
        return checkpoints / name

    return published


@pytest.mark.parametrize(("kind", "length"), [(ResNet18, 512), (ResNet34, 512), (ResNet50, 2048)])
def test_features_are_the_means_of_the_last_maps(kind, length):
    out = kind(32, 3)(torch.rand(2, 3, 32, 32))
    assert out["feature_maps"].shape == (2, length, 4, 4)
    torch.testing.assert_close(out["features"], out["feature_maps"].mean((-2, -1)))


def test_with_the_imagenet_stem_features_are_what_torchvision_classifies():
    encoder = ResNet18(64, 3, stem="imagenet").eval()
    network = torchvision.models.resnet18().eval()
    loaded = network.load_state_dict(encoder.state_dict(), strict=False)
    assert loaded.unexpected_keys == []
    assert loaded.missing_keys == ["fc.weight", "fc.bias"]
    network.fc = torch.nn.Identity()
    views = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(encoder(views)["features"], network(views))


@pytest.mark.parametrize(
    ("image_size", "stem", "side"),
    [(64, "auto", 8), (65, "auto", 3), (64, "imagenet", 2), (96, "small", 12)],
)
def test_the_stem_decides_how_far_maps_shrink(image_size, stem, side):
    out = ResNet18(image_size, 3, stem=stem)(torch.rand(2, 3, image_size, image_size))
    assert out["feature_maps"].shape[-2:] == (side, side)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_any_number_of_channels_works(channels, stem):
    views = torch.rand(2, channels, 32, 32)
    assert ResNet18(32, channels, stem=stem)(views)["features"].shape == (2, 512)


def test_the_order_of_pixels_in_memory_makes_no_difference():
    encoder = ResNet18(32, 3).eval()
    views = torch.rand(2, 3, 32, 32)
    plain = encoder(views)["features"]
    strided = encoder.to(memory_format=torch.channels_last)(
        views.to(memory_format=torch.channels_last)
    )["features"]
    torch.testing.assert_close(strided, plain, rtol=1e-3, atol=1e-4)


def test_pretrained_weights_are_taken_from_a_file_that_is_there(publish):
    network = torchvision.models.resnet18()
    publish(_saved(network))
    encoder = ResNet18(224, 3, weights="DEFAULT")
    assert torch.equal(encoder.layer4[1].conv2.weight, network.layer4[1].conv2.weight)
    assert torch.equal(encoder.conv1.weight, network.conv1.weight)


def test_a_file_with_other_weights_under_the_published_name_is_refused(publish):
    file = publish(_saved(torchvision.models.resnet18()))
    file.write_bytes(_saved(torchvision.models.resnet18()))
    with pytest.raises(
        ValueError, match="is not the published file of weights 'DEFAULT'"
    ) as caught:
        ResNet18(224, 3, weights="DEFAULT")
    assert str(file) in str(caught.value)
    assert str(caught.value).endswith("remove it to fetch it again")
    assert "\n" not in str(caught.value)


def _saved(network):
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    return file.getvalue()


def test_a_weights_file_that_would_run_code_is_refused(publish, tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    publish(pickle.dumps(Payload(), protocol=2))
    with pytest.raises(ValueError, match="can't be fetched"):
        ResNet18(224, 3, weights="DEFAULT")
    assert not (tmp_path / "executed").exists()


def test_weights_that_cannot_be_fetched_name_the_file_to_provide(checkpoints, capsys):
    with pytest.raises(ValueError, match="can't be fetched") as caught:
        ResNet18(224, 3, weights="IMAGENET1K_V1")
    assert str(checkpoints / RESNET18_FILE) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("image_size", "channels", "chosen", "message"),
    [
        (32, 3, {"weights": "DEFAULT"}, "set stem to 'imagenet'"),
        (224, 1, {"weights": "DEFAULT"}, "need images of 3 channels, these have 1"),
        (224, 3, {"weights": "V9"}, "no weights 'V9', expected one of IMAGENET1K_V1, DEFAULT"),
    ],
)
def test_weights_that_do_not_fit_are_an_error_that_says_why(
    image_size, channels, chosen, message, checkpoints
):
    with pytest.raises(ValueError, match=message):
        ResNet18(image_size, channels, **chosen)
