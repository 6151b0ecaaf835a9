"""Parts are called after each step and before each epoch, on any device and after any resume."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import sslcore
from sslcore.compute.processes import ALONE, Processes
from sslcore.errors import CompositionError, UsageError
from sslcore.pipeline.build import ImageShape, build_data, build_pipeline
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import ENCODER
from sslcore.training.moments import Moments
from sslcore.training.trainer import Trainer


@pytest.fixture
def settings(tiny):
    # 3 steps an epoch, a checkpoint every 2.
    tiny["training"] |= {"epochs": 3, "checkpoint_every": 2}
    return tiny


@pytest.fixture
def options(settings, registry, console):
    return {
        "data": "noise",
        "settings": settings,
        "registry": registry,
        "console": console,
        "evaluate": False,
    }


def test_each_step_and_each_epoch_is_announced_in_turn(options, add, registry):
    told = []

    class Listening(nn.Module):
        def forward(self, projections: torch.Tensor) -> torch.Tensor:
            told.append("loss")
            return projections.square().mean()

        def after_step(self, progress: float, step: int) -> None:
            told.append(("step", step, round(progress * 9)))

        def epoch_started(self, epoch: int) -> None:
            told.append(("epoch", epoch))

    add(registry, "loss", Listening, name="listening")
    sslcore.train("simclr", loss="listening", **options)
    expected = []
    for step in range(9):
        expected += [("epoch", step // 3)] if step % 3 == 0 else []
        expected += ["loss", ("step", step, step)]
    # The checks before training call the loss alone.
    assert told[told.index(("epoch", 0)) :] == expected


def test_weights_and_buffers_are_what_a_part_made_of_them(options):
    run = sslcore.train("centres", **options)
    tensors = load_checkpoint(run.checkpoints).tensors
    lengths = tensors["model/head.prototypes.weight"].norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    assert int(tensors["model/loss.epoch"]) == 2
    assert bool((tensors["model/loss.centres"].abs().sum(1) > 0).all())


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_killed_in_mid_epoch_or_before_one_a_resumed_run_ends_bit_identical(
    step, options, monkeypatch
):
    whole = sslcore.train("centres", output="whole", **options)
    train_step = Trainer.train_step

    def killed(self, batch):
        if batch.step == step:
            # In the middle of a step: the epoch has been announced, and the weights have moved.
            train_step(self, batch)
            raise KeyboardInterrupt
        return train_step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(KeyboardInterrupt):
            sslcore.train("centres", output="killed", **options)
    torch.rand(1000)
    resumed = sslcore.train(
        resume="killed", registry=options["registry"], console=options["console"], evaluate=False
    )
    first, second = load_checkpoint(whole.checkpoints), load_checkpoint(resumed.checkpoints)
    assert first.tensors.keys() == second.tensors.keys()
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name
    for name, tensor in load_file(whole.path / ENCODER).items():
        assert torch.equal(tensor, load_file(resumed.path / ENCODER)[name]), name


def _moments(registry, processes=ALONE):
    recipe, _ = sslcore.api.make_recipe("centres", data="noise", registry=registry)
    data = build_data(recipe.data)
    pipeline = build_pipeline(recipe, ImageShape.of(data.train)).train()
    return Moments(pipeline, data.train, 0, torch.device("cpu"), processes), pipeline, data.train


def test_features_are_those_that_evaluators_see_and_leave_training_as_it_was(registry):
    moments, pipeline, split = _moments(registry)
    before = {name: item.clone() for name, item in pipeline.state_dict().items()}
    state = torch.get_rng_state()
    moments.epoch_started(0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in pipeline.modules())
    changed = {
        name for name, item in pipeline.state_dict().items() if not torch.equal(item, before[name])
    }
    assert changed == {"loss.centres", "loss.epoch"}
    extract = sslcore.evaluation.extractor.FeatureExtractor(pipeline.augmentation, pipeline.encoder)
    with torch.no_grad():
        features = extract(split.images)
    distances = (pipeline.loss.centres[:, None] - features).abs().amax(-1)
    assert float(distances.min(dim=1).values.max()) < 1e-5


class _Recorded(Processes):
    """One of several processes, whose parts are kept in place of being gathered."""

    def gather(self, tensor, axis):
        self.__dict__["part"] = tensor
        return torch.cat([tensor] * self.count, axis)


def test_each_process_encodes_its_share_of_images_that_the_count_does_not_divide(registry):
    parts = []
    for rank in range(5):
        processes = _Recorded(rank, 5)
        moments, _, split = _moments(registry, processes)
        moments.epoch_started(0)
        parts.append(processes.__dict__["part"])
    assert len(split) % 5
    together = torch.cat(parts)[: len(split)]
    moments, pipeline, _ = _moments(registry)
    extract = sslcore.evaluation.extractor.FeatureExtractor(pipeline.augmentation, pipeline.encoder)
    with torch.no_grad():
        torch.testing.assert_close(together, extract(split.images))


def test_a_moment_that_asks_for_what_there_is_not_is_refused_before_training(
    options, add, registry
):
    class Asking(nn.Module):
        def forward(self, projections: torch.Tensor) -> torch.Tensor:
            return projections.mean()

        def epoch_started(self, epochs: int) -> None: ...

    add(registry, "loss", Asking, name="asking")
    with pytest.raises(CompositionError, match=r"epoch_started asks for epochs.*nearest: epoch"):
        sslcore.train("simclr", loss="asking", **options)


def test_an_error_in_a_moment_is_one_line(options, add, registry):
    class Failing(nn.Module):
        def forward(self, projections: torch.Tensor) -> torch.Tensor:
            return projections.square().mean()

        def epoch_started(self, epoch: int) -> None:
            if epoch == 1:
                raise ValueError("too few images for 1,000 clusters")

    add(registry, "loss", Failing, name="failing")
    with pytest.raises(UsageError, match=r"step 4.*too few images for 1,000 clusters"):
        sslcore.train("simclr", loss="failing", **options)


def test_shared_numbers_are_those_of_all_images_whatever_was_drawn_before():
    first = sslcore.BatchRandom(0, 3, 8)
    other = sslcore.BatchRandom(0, 3, 8, rows=slice(4, 6))
    first.uniform(5)
    assert torch.equal(first.shared("mask", 2, 3), other.shared("mask", 2, 3))
    assert torch.equal(first.shared("mask", 2), first.shared("mask", 2))
    assert first.shared("mask", 4).shape == (4,)
    assert not torch.equal(first.shared("mask", 4), first.shared("other", 4))
    assert not torch.equal(first.shared("mask", 4), sslcore.BatchRandom(0, 4, 8).shared("mask", 4))
    many = first.shared("mask", 10_000)
    assert 0 <= float(many.min()) < 0.01
    assert 0.99 < float(many.max()) < 1
