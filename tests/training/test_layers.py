"""The layers of encoders, and the learning rates of layer-wise decay."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import sslcore
from sslcore.data.batches import Batches
from sslcore.pipeline.build import ImageShape, build_data, build_pipeline
from sslcore.pipeline.pipeline import Pipeline
from sslcore.recipe.resolve import make_recipe
from sslcore.training.layers import layers_of, rate_groups
from sslcore.training.trainer import Trainer

CPU = torch.device("cpu")


def _names(encoder):
    """Return the names of each layer's parameters."""
    names = {id(weight): name for name, weight in encoder.named_parameters()}
    return [[names[id(weight)] for weight in layer] for layer in layers_of(encoder)]


def _built(name, **settings):
    return sslcore.build("encoder", name, image_size=32, channels=3, **settings)


#: How the first name in each layer begins, from the input to the features.
ORDERS = {
    "resnet18": ({}, ["conv1", *(f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1))]),
    "vit": ({"depth": 3}, ["class_token", "blocks.0", "blocks.1", "blocks.2"]),
    "small-cnn": ({}, ["blocks.0", "blocks.4", "blocks.8", "blocks.12"]),
    "timm": (
        {"model": "test_vit"},
        ["backbone.cls_token", *(f"backbone.blocks.{i}" for i in range(6))],
    ),
    "timm of a ResNet": (
        {"model": "test_resnet"},
        [
            *(f"backbone.conv1.{i}" for i in (0, 3, 6)),
            *(f"backbone.layer{i}.0" for i in (1, 2, 3, 4)),
        ],
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_layers_come_in_order_from_the_input_to_the_features(name):
    settings, expected = ORDERS[name]
    found = _names(_built(name.partition(" ")[0], **settings))
    assert [
        layer[0][: len(start)] for layer, start in zip(found, expected, strict=True)
    ] == expected


@pytest.mark.parametrize("name", ORDERS)
def test_every_trainable_parameter_is_in_one_layer(name):
    encoder = _built(name.partition(" ")[0], **ORDERS[name][0])
    layered = [item for layer in _names(encoder) for item in layer]
    assert sorted(layered) == sorted(item for item, _ in encoder.named_parameters())


def test_a_normalisation_belongs_to_the_layer_before_it():
    first, *_, last = _names(_built("resnet18"))
    assert first == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert all(name.startswith("layer4.1.") for name in last)
    *_, last = _names(_built("vit", depth=2))
    assert {name.partition(".")[0] for name in last} == {"blocks", "norm"}
    assert all(name.startswith(("blocks.1.", "norm.")) for name in last)


def test_parameters_of_the_network_itself_belong_to_the_first_layer():
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.block = nn.Linear(3, 3), nn.Linear(3, 3)
            self.token = nn.Parameter(torch.zeros(3))

    first, second = _names(Tokens())
    assert first == ["token", "embedding.weight", "embedding.bias"]
    assert second == ["block.weight", "block.bias"]


def test_a_module_that_wraps_the_network_is_no_layer():
    inner = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.LayerNorm(3))
    wrapped = nn.ModuleDict({"net": nn.ModuleDict({"body": inner})})
    for network in (inner, wrapped):
        assert [len(layer) for layer in _names(network)] == [2, 4]


def test_numbered_blocks_are_layers_even_if_there_is_nothing_beside_them():
    def block():
        return nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))

    layers = _names(nn.ModuleDict({"blocks": nn.Sequential(block(), block(), block())}))
    assert [len(layer) for layer in layers] == [4, 4, 4]


def test_frozen_parameters_are_in_no_layer():
    encoder = _built("resnet18")
    encoder.conv1.requires_grad_(False)
    encoder.layer1.requires_grad_(False)
    layered = [name for layer in _names(encoder) for name in layer]
    assert layered[:2] == ["bn1.weight", "bn1.bias"]
    assert not any(name.startswith(("conv1", "layer1")) for name in layered)


def _pipeline(encoder="small-cnn", **training):
    recipe, _ = make_recipe(
        "classification", data="digits", encoder=encoder, settings={"training": training}
    )
    data = build_data(recipe.data)
    shape = ImageShape.of(data.train, len(data.classes))
    return recipe, data, build_pipeline(recipe, shape)


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_the_rate_falls_by_the_factor_from_each_layer_to_the_one_before_it(decay):
    _, _, pipeline = _pipeline()
    (head, one), *groups = rate_groups(pipeline, decay)
    assert one == 1
    assert {id(weight) for weight in head} == {id(weight) for weight in pipeline.head.parameters()}
    layers = layers_of(pipeline.encoder)
    count = len(layers)
    assert count == 4
    for number, (layer, (weights, factor)) in enumerate(zip(layers, groups, strict=True), 1):
        assert [id(weight) for weight in weights] == [id(weight) for weight in layer]
        assert factor == pytest.approx(decay ** (count + 1 - number))


def test_without_decay_there_is_one_group_of_all_parameters():
    _, _, pipeline = _pipeline()
    ((weights, factor),) = rate_groups(pipeline, 1.0)
    assert factor == 1
    assert [id(weight) for weight in weights] == [id(weight) for weight in pipeline.trainable()]


def test_without_a_head_the_layers_are_all_groups():
    encoder = _built("small-cnn")
    pipeline = Pipeline(nn.Identity(), encoder, None, nn.Identity())
    groups = rate_groups(pipeline, 0.5)
    assert [factor for _, factor in groups] == [0.5**4, 0.5**3, 0.5**2, 0.5]
    assert all(weights for weights, _ in groups)


def test_a_frozen_encoder_has_no_group():
    _, _, pipeline = _pipeline(freeze="encoder")
    ((weights, factor),) = rate_groups(pipeline, 0.5)
    assert factor == 1
    assert [id(weight) for weight in weights] == [
        id(weight) for weight in pipeline.head.parameters()
    ]


def _step(folder, **training):
    """Return each parameter's change in one step of plain gradient descent, and its gradient."""
    recipe, data, pipeline = _pipeline(batch_size=16, precision="fp32", epochs=1, **training)
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, settings={"lr": 0.125}))
    batches = Batches(data.train, 16, 0, CPU, labels=True, workers=0)
    pipeline.train()
    # The head begins at zero, where no gradient reaches the encoder.
    with torch.no_grad():
        for number, weight in enumerate(pipeline.head.parameters()):
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)))
    before = {name: item.detach().clone() for name, item in pipeline.named_parameters()}
    trainer = Trainer(recipe, pipeline, batches, CPU, "fp32", folder)
    (batch,) = batches.between(0, 1)
    trainer.train_step(batch)
    after = dict(pipeline.named_parameters())
    return {name: (after[name].detach() - before[name], after[name].grad) for name in before}


def test_each_layer_moves_by_its_own_learning_rate(tmp_path):
    first, last = "encoder.blocks.0.weight", "encoder.blocks.12.weight"
    factors = {"head.linear.weight": 1.0, last: 0.5, first: 0.5**4}
    moves = _step(tmp_path, layer_decay=0.5, schedule="constant")
    for name, factor in factors.items():
        moved, gradient = moves[name]
        assert gradient.abs().max() > 1e-6, name
        torch.testing.assert_close(moved, -0.125 * factor * gradient, rtol=1e-3, atol=1e-7)
