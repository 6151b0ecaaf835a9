"""A frozen encoder stays bit by bit as it began, and the rest is trained."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import sslcore
from sslcore.pipeline.build import ImageShape, build_data, build_pipeline
from sslcore.recipe.resolve import make_recipe
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import ENCODER


def _recipe(tiny, registry, **training):
    tiny["training"] |= training
    recipe, _ = make_recipe("classification", data="noise", settings=tiny, registry=registry)
    return recipe


def _pipeline(recipe):
    data = build_data(recipe.data)
    return build_pipeline(recipe, ImageShape.of(data.train, len(data.classes)))


@pytest.mark.parametrize("more", [{}, {"layer_decay": 0.5}, {"micro_batch": 4}], ids=str)
def test_weights_and_batch_statistics_of_the_encoder_are_those_at_the_beginning(
    more, tiny, registry, console
):
    recipe = _recipe(tiny, registry, freeze="encoder", epochs=2, **more)
    began = _pipeline(recipe)
    options = {"registry": registry, "console": console, "evaluate": False}
    run = sslcore.train("classification", data="noise", settings=tiny, output="run", **options)
    state = began.encoder.state_dict()
    assert any("running_mean" in name for name in state)
    written = load_file(run.path / ENCODER)
    trained = load_checkpoint(run.checkpoints).section("model")
    for name, tensor in state.items():
        assert torch.equal(trained[f"encoder.{name}"], tensor), name
        assert torch.equal(written[name], tensor), name
    for name, tensor in began.head.state_dict().items():
        assert not torch.equal(trained[f"head.{name}"], tensor), name


def test_without_freeze_weights_and_batch_statistics_of_the_encoder_move(tiny, registry, console):
    recipe = _recipe(tiny, registry)
    began = _pipeline(recipe)
    options = {"registry": registry, "console": console, "evaluate": False}
    run = sslcore.train("classification", data="noise", settings=tiny, output="run", **options)
    trained = load_checkpoint(run.checkpoints).section("model")
    for name, tensor in began.encoder.state_dict().items():
        assert not torch.equal(trained[f"encoder.{name}"], tensor), name


def test_a_frozen_encoder_is_in_eval_mode_and_has_no_graph_while_the_rest_trains(tiny, registry):
    pipeline = _pipeline(_recipe(tiny, registry, freeze="encoder")).train()
    assert pipeline.head.training
    assert pipeline.augmentation.training
    assert not any(module.training for module in pipeline.encoder.modules())
    assert not any(weight.requires_grad for weight in pipeline.encoder.parameters())
    trainable = {id(weight) for weight in pipeline.trainable()}
    assert trainable == {id(weight) for weight in pipeline.head.parameters()}
