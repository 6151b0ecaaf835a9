"""The encoder that a user takes away: what it accepts, and when it builds a graph."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

import sslcore
from sslcore.errors import UsageError

SETTINGS = {"training": {"epochs": 1, "batch_size": 512, "precision": "fp32"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return sslcore.train(
        method="byol",
        settings=SETTINGS,
        evaluate=False,
        output=tmp_path_factory.mktemp("runs") / "run",
    )


@pytest.fixture
def images():
    return torch.randint(0, 256, (6, 1, 16, 16), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images: images.float(), "divide values up to 255 by 255"),
        (lambda images: (images / 255 - 0.3) / 0.3, "the encoder normalises them itself"),
        (lambda images: images / 255 * 2 - 1, "the encoder normalises them itself"),
        (lambda images: images / 255 * float("nan"), r"expected floats in \[0, 1\], got values"),
    ],
)
def test_floats_that_are_no_images_in_zero_to_one_are_refused_in_words(run, images, change, said):
    encoder = sslcore.load_encoder(run.path)
    with pytest.raises(ValueError, match=said):
        encoder(change(images))


def test_rounding_beyond_the_ends_is_no_reason(run, images):
    encoder = sslcore.load_encoder(run.path)
    floats = images / 255
    assert torch.equal(encoder(images), encoder(floats))
    encoder((floats * (1 + 1e-4)) - 1e-4)
    assert encoder(floats[:0]).shape == (0, encoder(floats).shape[1])


def test_no_graph_is_built_until_it_is_asked_for(run, images):
    encoder = sslcore.load_encoder(run.path)
    assert not encoder(images).requires_grad
    assert encoder.train()(images).requires_grad
    assert encoder.eval()(images).requires_grad


def test_it_is_fine_tuned_in_a_loop_of_ten_lines(run, images):
    encoder = sslcore.load_encoder(run.path).train()
    before = [weight.detach().clone() for weight in encoder.parameters()]
    classifier = nn.Linear(encoder(images).shape[1], 3)
    parameters = [*encoder.parameters(), *classifier.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.01)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    losses = []
    for _ in range(20):
        loss = F.cross_entropy(classifier(encoder(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all((now != then).any() for now, then in zip(encoder.parameters(), before, strict=True))


def test_the_teacher_is_another_encoder(run, images):
    own, teacher = (sslcore.load_encoder(run.path, teacher=each) for each in (False, True))
    assert own(images).shape == teacher(images).shape
    assert not torch.allclose(own(images), teacher(images))


def test_a_run_without_a_teacher_says_so(tmp_path):
    run = sslcore.train(
        method="simclr", settings=SETTINGS, evaluate=False, output=tmp_path / "plain"
    )
    with pytest.raises(UsageError, match="has no teacher"):
        sslcore.load_encoder(run.path, teacher=True)


def test_the_file_says_what_it_is(run, images):
    with safe_open(run.path / "encoder.safetensors", "pt") as file:
        (text,) = file.metadata().values()
    about = json.loads(text)
    assert about["encoder"] == run.config()["encoder"]["name"].rpartition(":")[2]
    assert about["method"] == "byol"
    assert about["version"] == sslcore.__version__
    assert about["image_size"] == 16
    assert about["channels"] == 1
    assert about["mean"] == [0.306]
    assert about["step"] == 2
    assert about["feature_dim"] == sslcore.load_encoder(run.path)(images).shape[1]
