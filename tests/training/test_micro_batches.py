"""Split batches give the same result, or an error with the reason."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import sslcore
from sslcore.data.batches import Batch
from sslcore.errors import UsageError
from sslcore.pipeline.build import ImageShape, build_data, build_pipeline
from sslcore.random import BatchRandom
from sslcore.recipe.resolve import make_recipe
from sslcore.signals import Features
from sslcore.training.gradients import Gradients

CPU = torch.device("cpu")


class Dropping(nn.Module):
    """An encoder with dropout."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, views: Tensor) -> Features:
        return {"features": self.layers(views).mean((-2, -1))}


class Centring(nn.Module):
    """An encoder that mixes the images of a batch without batch norm."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, 8, 3)

    def forward(self, views: Tensor) -> Features:
        made = self.layer(views).mean((-2, -1))
        return {"features": made - made.mean(0)}


def _gradients(registry, method="simclr", precision="fp32", settings=(), **parts):
    """Return the gradient maker of a recipe and a batch for it."""
    given = {"training": {"batch_size": 12}, "head": {"batch_norm": False}}
    for section, values in dict(settings).items():
        given.setdefault(section, {}).update(values)
    recipe, _ = make_recipe(method, settings=given, registry=registry, **parts)
    data = build_data(recipe.data)
    pipeline = build_pipeline(recipe, ImageShape.of(data.train)).train()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    images = data.train.images[:12]
    sample = Batch(0, images[:4], None, 4)
    made = Gradients(pipeline, recipe.training, CPU, precision, scaler, sample)
    return made, Batch(3, images, None, 12)


def _run(registry, size, settings=(), **parts):
    settings = {section: dict(values) for section, values in dict(settings).items()}
    if size is not None:
        settings.setdefault("training", {})["micro_batch"] = size
    gradients, batch = _gradients(registry, settings=settings, **parts)
    signals = gradients(batch, 0.25)
    pipeline = gradients.pipeline
    found = {name: item.grad for name, item in pipeline.named_parameters() if item.requires_grad}
    return signals, found, pipeline


@pytest.mark.parametrize("size", [1, 4, 5, 11])
def test_every_size_gives_the_loss_and_the_gradient_of_the_whole_batch(size, registry):
    whole, expected, _ = _run(registry, None, encoder="vit")
    split, found, _ = _run(registry, size, encoder="vit")
    assert found.keys() == expected.keys()
    torch.testing.assert_close(split["loss"], whole["loss"])
    torch.testing.assert_close(split["projections"], whole["projections"])
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


def test_what_is_dropped_is_the_same_in_both_passes(registry, add):
    add(registry, "encoder", Dropping)
    gradients, batch = _gradients(
        registry, settings={"training": {"micro_batch": 4}}, encoder="made-up"
    )
    torch.manual_seed(5)
    signals = gradients(batch, 0.0)
    found = {name: item.grad.clone() for name, item in gradients.pipeline.named_parameters()}
    after = torch.get_rng_state()
    # The same by hand, with one graph over all parts.
    torch.manual_seed(5)
    pipeline = gradients.pipeline
    pipeline.zero_grad()
    parts = [slice(0, 4), slice(4, 8), slice(8, 12)]
    random = _random()
    made = [
        pipeline.represent(pipeline.augment(batch.images[p], random=random.select(p), progress=0.0))
        for p in parts
    ]
    joined = {"projections": torch.cat([item["projections"] for item in made], 1)}
    score = pipeline.score({"images": batch.images} | joined)
    score["loss"].backward()
    torch.testing.assert_close(signals["loss"], score["loss"].detach())
    for name, item in pipeline.named_parameters():
        torch.testing.assert_close(found[name], item.grad)
    assert torch.equal(torch.get_rng_state(), after)


def test_statistics_of_micro_batches_are_each_its_own_and_move_the_running_ones_by_the_mean(
    registry,
):
    settings = {"training": {"batch_statistics": "micro-batch"}}
    split, found, pipeline = _run(registry, 4, settings, encoder="small-cnn")
    gradients, batch = _gradients(registry, encoder="small-cnn")
    by_hand = gradients.pipeline
    untouched = copy.deepcopy(by_hand)
    before = dict(untouched.named_buffers())
    random = _random()
    made, buffers = [], []
    for part in (slice(0, 4), slice(4, 8), slice(8, 12)):
        views = by_hand.augment(batch.images[part], random=random.select(part), progress=0.25)
        alone = copy.deepcopy(untouched)
        alone.represent(views)
        buffers.append(dict(alone.named_buffers()))
        made.append(by_hand.represent(views)["projections"])
    score = by_hand.score({"images": batch.images, "projections": torch.cat(made, 1)})
    score["loss"].backward()
    torch.testing.assert_close(split["loss"], score["loss"].detach())
    for name, item in by_hand.named_parameters():
        torch.testing.assert_close(found[name], item.grad)
    running = {name: item for name, item in pipeline.named_buffers() if "running" in name}
    assert len(running) >= 4
    for name, item in running.items():
        torch.testing.assert_close(item, torch.stack([each[name] for each in buffers]).mean(0))
        assert not torch.equal(item, before[name])


def _random():
    return BatchRandom(0, 3, 12)


@pytest.mark.parametrize(
    ("size", "settings", "parts", "said"),
    [
        (4, {}, {"encoder": "small-cnn"}, "batch norm in the encoder"),
        (4, {"head": {"batch_norm": True}}, {"encoder": "vit"}, "batch norm in the head"),
        (4, {}, {"encoder": "made-up"}, "depends on the other images"),
        (5, {"training": {"batch_statistics": "micro-batch"}}, {}, "use --micro-batch 4"),
    ],
)
def test_what_would_give_another_result_is_refused_with_what_to_do(
    size, settings, parts, said, registry, add
):
    add(registry, "encoder", Centring)
    with pytest.raises(UsageError, match=said):
        _run(registry, size, settings, **parts)


def test_a_micro_batch_of_a_whole_batch_is_a_whole_batch(registry):
    whole, expected, _ = _run(registry, None, encoder="small-cnn")
    same, found, _ = _run(registry, 12, encoder="small-cnn")
    assert torch.equal(whole["loss"], same["loss"])
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_an_exact_split_may_be_another_when_a_run_is_taken_up_again(registry, tiny, console):
    tiny["training"] |= {"checkpoint_every": 1}
    tiny["head"] = {"batch_norm": False}
    common = {"registry": registry, "console": console, "evaluate": False}
    tiny["training"]["micro_batch"] = 8
    run = sslcore.train(
        "simclr", data="noise", encoder="vit", settings=tiny, output="run", **common
    )
    again = {"training": {"micro_batch": 4}}
    assert sslcore.train(resume="run", settings=again, **common).path == run.path
    with pytest.raises(UsageError, match="another recipe"):
        sslcore.train(
            resume="run",
            settings={"training": {"micro_batch": 4, "batch_statistics": "micro-batch"}},
            **common,
        )
