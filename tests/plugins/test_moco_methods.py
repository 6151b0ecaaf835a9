"""The methods of MoCo: they train, the teacher follows, and the queue survives a restart."""

from __future__ import annotations

import pytest
import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.registry.registry import default_registry
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import METRICS
from sslcore.runs.metrics import read_metrics
from sslcore.training.state import restore_weights
from sslcore.training.trainer import Trainer
from sslcore_moco.queue import first_queue

SMALL = {
    "moco": {"loss": {"queue_size": 50}},
    "moco-v3": {"head": {"hidden": (64,), "dim": 32, "predictor_hidden": (64,)}},
}
STEPS = 3 * (1347 // 128)


@pytest.fixture
def train(console):
    """Return a function that trains a method for 30 steps."""

    def train(method=None, **options):
        if method is not None:
            options["settings"] = {
                **SMALL[method],
                "encoder": {"widths": (8, 16)},
                "training": {
                    "epochs": 3,
                    "batch_size": 128,
                    "log_every": 1,
                    "precision": "fp32",
                    "checkpoint_every": 7,
                },
            }
        return sslcore.train(
            method, registry=default_registry(), console=console, evaluate=False, **options
        )

    return train


@pytest.mark.parametrize("method", SMALL)
def test_the_loss_falls_and_every_weight_of_the_encoder_moves(method, train):
    run = train(method)
    losses = [line["loss"] for line in read_metrics(run.path / METRICS)]
    assert len(losses) == STEPS
    # A queue that fills with keys makes the task harder at first.
    assert sum(losses[-5:]) / 5 < max(losses[:15])
    recipe, _ = make_recipe(config=run.config(), registry=default_registry())
    before = build_pipeline(recipe, run.shape()).state_dict()
    after = load_checkpoint(run.checkpoints).tensors
    weights = [name for name in before if name.startswith("encoder.") and "weight" in name]
    assert weights
    assert all(not torch.equal(before[name], after[f"model/{name}"]) for name in weights)


def test_the_queue_and_its_place_are_part_of_the_checkpoint(train):
    tensors = load_checkpoint(train("moco").checkpoints).tensors
    queue = tensors["model/loss.queue"]
    assert tensors["model/loss.oldest"] == STEPS * 128 % 50
    torch.testing.assert_close(queue.norm(dim=-1), torch.ones(50))
    # Every position was written: none of the first rows is left.
    assert (queue - first_queue(50, 128)).norm(dim=-1).min() > 0.01


def test_building_a_pipeline_leaves_the_queue_as_it_starts():
    recipe, _ = make_recipe("moco", settings=SMALL["moco"], registry=default_registry())
    loss = build_pipeline(recipe, ImageShape(16, 1)).loss
    assert loss.oldest == 0
    assert torch.equal(loss.queue, first_queue(50, 128))


@pytest.mark.parametrize("method", SMALL)
def test_a_run_killed_in_the_middle_goes_on_with_the_same_bits(method, train, monkeypatch):
    whole = train(method, output="whole")
    train_step = Trainer.train_step

    class Killed(BaseException):
        pass

    def killed(self, batch):
        if batch.step == 17:
            raise Killed
        return train_step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(Killed):
            train(method, output="killed")
    # Earlier runs in this process must not matter.
    torch.rand(1000)
    resumed = train(resume="killed")
    first, second = load_checkpoint(whole.checkpoints), load_checkpoint(resumed.checkpoints)
    assert first.step == second.step == STEPS
    assert first.tensors.keys() == second.tensors.keys()
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name


def test_the_teacher_follows_the_student(train):
    run = train("moco-v3")
    recipe, _ = make_recipe(config=run.config(), registry=default_registry())
    pipeline = build_pipeline(recipe, run.shape())
    start = {name: value.clone() for name, value in pipeline.named_parameters()}
    restore_weights(pipeline, load_checkpoint(run.checkpoints))
    students = dict(pipeline.encoder.named_parameters())
    for name, teacher in pipeline.teacher["encoder"].named_parameters():
        initial = start[f"encoder.{name}"]
        assert not teacher.requires_grad
        if teacher.dim() > 1:
            assert 0 < (teacher - initial).norm() < (students[name] - initial).norm()


@pytest.mark.parametrize("loss", ["queue-contrast", "momentum-contrast"])
def test_without_a_teacher_the_loss_says_how_to_add_one(loss):
    with pytest.raises(sslcore.errors.CompositionError, match=r"--set teacher\.momentum"):
        make_recipe("simclr", loss=loss, head="prediction", registry=default_registry())


def test_more_than_two_views_are_refused_before_the_first_image():
    recipe, _ = make_recipe(
        "moco",
        settings={"augmentation": {"views": 3, "teacher_apart": False}},
        registry=default_registry(),
    )
    with pytest.raises(sslcore.errors.CompositionError, match="takes 1 or 2 views"):
        build_pipeline(recipe, ImageShape(16, 1))
