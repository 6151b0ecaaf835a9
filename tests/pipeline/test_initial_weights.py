"""Weights from elsewhere: whatever their names begin with, and without running code."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from sslcore.errors import UsageError
from sslcore.pipeline.initial_weights import digest, load_into, match, read_tensors
from sslcore_torchvision.resnet import ResNet18


@pytest.fixture(scope="module")
def theirs():
    """A ResNet-18 of torchvision with random weights, and its features as a function."""
    torch.manual_seed(3)
    model = torchvision.models.resnet18(num_classes=7).eval()
    # Statistics that differ from those of a new batch norm.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def _features(model, images):
    body = nn.Sequential(*list(model.children())[:-1], nn.Flatten())
    with torch.no_grad():
        return body.eval()(images)


def _prefixed(prefix):
    return lambda model: {f"{prefix}{name}": item for name, item in model.state_dict().items()}


def _counted(model):
    """The names of `nn.Sequential(*list(resnet.children())[:-1])`, as lightly's examples have."""
    body = nn.Sequential(*list(model.children())[:-1])
    return {f"backbone.{name}": item for name, item in body.state_dict().items()}


#: The names that weights of a ResNet have in files of other libraries.
FORMATS = {
    "torchvision or timm": _prefixed(""),
    "DDP": _prefixed("module."),
    "solo-learn": _prefixed("backbone."),
    "encoder": _prefixed("encoder."),
    "DDP of a backbone": _prefixed("module.backbone."),
    "Lightning": lambda model: {"epoch": 3, "state_dict": _prefixed("model.")(model)},
    "MoCo": lambda model: {"state_dict": _prefixed("module.encoder_q.")(model), "arch": "resnet18"},
    "lightly": _counted,
    "lightly in a checkpoint": lambda model: {"state_dict": _counted(model), "global_step": 1},
    "DINO": lambda model: {"student": _prefixed("module.backbone.")(model), "loss": {}},
}


@pytest.mark.parametrize("form", FORMATS)
def test_the_features_are_those_of_the_model_that_the_weights_are_of(form, theirs, tmp_path):
    torch.save(FORMATS[form](theirs), tmp_path / "weights.pth")
    encoder = ResNet18(64, 3, stem="imagenet")
    found = match(read_tensors(tmp_path / "weights.pth"), encoder)
    assert len(found.weights) == found.total == len(encoder.state_dict())
    assert found.enough
    assert not found.unlike
    assert not found.absent
    load_into(encoder, found.weights)
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        ours = encoder.eval()(images)["features"]
    assert torch.allclose(ours, _features(theirs, images), atol=1e-6)


def test_a_wrapped_backbone_takes_the_names_of_the_bare_one(theirs):
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = torchvision.models.resnet18(num_classes=7)

    wrapper = Wrapper()
    for tensors in (theirs.state_dict(), _prefixed("module.")(theirs)):
        found = match(tensors, wrapper)
        assert len(found.weights) == found.total
        assert set(found.weights) == set(wrapper.state_dict())


def test_backbones_of_timm_take_weights_of_timm():
    timm = pytest.importorskip("timm", reason="needs the extra timm")
    from sslcore_timm.encoder import Timm

    model = timm.create_model("resnet10t", num_classes=0).eval()
    encoder = Timm(32, 3, model="resnet10t")
    load_into(encoder, match(_prefixed("module.")(model), encoder).weights)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        ours, expected = encoder.eval()(images)["features"], model(images)
    assert torch.allclose(ours, expected, atol=1e-6)


def test_safetensors_are_read_too_and_half_precision_becomes_that_of_the_encoder(theirs, tmp_path):
    half = {name: item.half() for name, item in _prefixed("")(theirs).items() if item.dim()}
    save_file(half, tmp_path / "weights.safetensors")
    encoder = ResNet18(64, 3, stem="imagenet")
    found = match(read_tensors(tmp_path / "weights.safetensors"), encoder)
    # Only the counters of batch norm are missing.
    assert all(name.endswith("num_batches_tracked") for name in found.absent)
    assert {item.dtype for item in found.weights.values()} == {torch.float32}


def test_what_has_another_shape_is_told_and_left_as_it_was_drawn(theirs):
    encoder = ResNet18(32, 3, stem="small")
    drawn = encoder.conv1.weight.detach().clone()
    found = match(theirs.state_dict(), encoder)
    assert "conv1.weight, (64, 3, 7, 7) there and (64, 3, 3, 3) here" in found.in_words()
    assert "not used: fc.weight, fc.bias" in found.in_words()
    load_into(encoder, found.weights)
    assert torch.equal(encoder.conv1.weight, drawn)
    assert torch.equal(encoder.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)


def test_half_of_the_names_is_not_enough(theirs):
    some = {name: item for name, item in theirs.state_dict().items() if "layer4" not in name}
    found = match(some, ResNet18(64, 3, stem="imagenet"))
    assert not found.enough
    assert "not in it: layer4.0.conv1.weight" in found.in_words()


def test_one_of_several_encoders_is_chosen_by_a_part_of_the_names(theirs):
    other = {name: item + 1 for name, item in theirs.state_dict().items()}
    tensors = {f"query.{name}": item for name, item in theirs.state_dict().items()}
    tensors |= {f"key.{name}": item for name, item in other.items()}
    encoder = ResNet18(64, 3, stem="imagenet")
    first = match(tensors, encoder)
    assert first.prefix == "query."
    assert first.others == ("key.",)
    assert "choose with --init-from" in first.in_words()
    chosen = match(tensors, encoder, "key")
    assert torch.equal(chosen.weights["conv1.weight"], other["conv1.weight"])


def test_weights_of_another_architecture_are_refused_with_names_and_shapes(theirs):
    other = nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 7))
    with pytest.raises(UsageError, match=r"none of the 122 tensors fits the encoder: .*--encoder"):
        match(theirs.state_dict(), other)


class _Code:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: torch.save({"weight": _Code()}, path), "runs no code of a file"),
        (lambda path: path.write_bytes(pickle.dumps(_Code())), "runs no code of a file"),
        (lambda path: torch.save(nn.Linear(2, 2), path), "runs no code of a file"),
        (lambda path: path.write_text("not weights"), "runs no code of a file"),
        (lambda path: path.write_bytes(b""), "runs no code of a file"),
        (lambda path: torch.save({"epoch": 3}, path), "holds no tensors by name"),
        (lambda path: torch.save(torch.zeros(3), path), "holds no tensors by name"),
        (lambda path: path.mkdir(), "can't be read"),
        (lambda path: None, "can't be read"),
    ],
)
def test_a_file_without_weights_is_one_line_and_runs_nothing(write, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(UsageError, match=said):
        read_tensors(path)
    assert not Path("ran").exists()


def test_a_damaged_safetensors_file_is_one_line(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UsageError, match="is damaged"):
        read_tensors(path)


def test_the_digest_is_of_names_shapes_types_and_values():
    weights = {"a": torch.zeros(2, 3), "b": torch.tensor(1)}
    same = {"b": torch.tensor(1), "a": torch.zeros(2, 3)}
    assert digest(weights) == digest(same)
    others = [
        {**weights, "a": torch.zeros(3, 2)},
        {**weights, "a": torch.zeros(2, 3).double()},
        {**weights, "b": torch.tensor(2)},
        {"a": weights["a"], "c": weights["b"]},
    ]
    assert len({digest(each) for each in (weights, *others)}) == 5


def test_weights_for_colour_are_summed_for_grey_images_and_the_match_says_so(theirs):
    encoder = ResNet18(image_size=64, channels=1, stem="imagenet").eval()
    found = match(theirs.state_dict(), encoder)
    assert found.summed == ("conv1.weight",)
    assert not found.unlike
    assert "summed over red, green and blue, for grey images: conv1.weight" in found.in_words()
    encoder.load_state_dict(found.weights)
    grey = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = encoder(grey)["features"]
    torch.testing.assert_close(
        features, _features(theirs, grey.expand(-1, 3, -1, -1)), rtol=1e-5, atol=1e-6
    )


def test_weights_for_grey_images_do_not_fit_colour(theirs):
    grey = ResNet18(image_size=64, channels=1, stem="imagenet")
    found = match(grey.state_dict(), ResNet18(image_size=64, channels=3, stem="imagenet"))
    assert found.summed == ()
    assert "conv1.weight" in found.unlike[0]
