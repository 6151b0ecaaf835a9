"""A teacher with an encoder and weights of its own: frozen, kept in the run, checked on resume."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import sslcore
from sslcore.api import make_recipe
from sslcore.errors import RunFolderError, SettingsError, UsageError
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import ENCODER, TEACHER
from sslcore.training.trainer import Trainer

STEPS = 3
SCRIPT = Path(__file__).parents[1] / "compute" / "five_steps.py"


@pytest.fixture
def quick(tiny):
    tiny["training"] |= {"checkpoint_every": 1}
    tiny["optimizer"] = {"name": "AdamW", "lr": 1e-2}
    return tiny


@pytest.fixture
def train(registry, console, quick):
    def run(method=None, teacher=None, **options):
        settings = (
            None if "resume" in options else quick | ({"teacher": teacher} if teacher else {})
        )
        given = {} if "resume" in options else {"data": "noise", "settings": settings}
        return sslcore.train(
            method, **given, registry=registry, console=console, evaluate=False, **options
        )

    return run


@pytest.fixture
def parent(train):
    """A run whose encoder is the teacher."""
    return train("simclr", encoder="conv-encoder", output="parent")


def _distill(train, parent, **options):
    return train("distill", {"path": str(parent.path)}, **options)


def test_the_teacher_is_the_encoder_of_the_run_and_the_student_has_another(train, parent):
    run = _distill(train, parent, output="run")
    teacher = load_file(run.path / TEACHER)
    own = load_file(parent.path / ENCODER)
    assert teacher.keys() == own.keys()
    assert all(torch.equal(teacher[name], own[name]) for name in own)
    assert own.keys() != load_file(run.path / ENCODER).keys()
    recorded = run.config()["teacher"]
    assert recorded["encoder"].endswith("conv-encoder")
    assert len(recorded["sha256"]) == 64


def test_frozen_weights_are_in_no_checkpoint_and_no_step_moves_them(train, parent):
    run = _distill(train, parent, output="run")
    names = load_checkpoint(run.checkpoints).tensors
    assert not [name for name in names if "teacher" in name]
    with pytest.raises(UsageError, match=r"no teacher that learns.*frozen teacher are in"):
        sslcore.load_encoder(run.path, teacher=True)


def test_a_frozen_teacher_is_in_eval_mode_and_on_the_device_of_the_student(registry, parent):
    recipe, _ = make_recipe(
        "distill", settings={"teacher": {"path": str(parent.path)}}, registry=registry
    )
    weights = load_file(parent.path / ENCODER)
    pipeline = build_pipeline(recipe, ImageShape(16, 1), teacher=weights).train().double()
    encoder = pipeline.teacher["encoder"]
    assert not encoder.training
    assert {item.dtype for item in encoder.parameters()} == {torch.float64}
    assert not {id(item) for item in pipeline.parameters()} & {
        id(item) for item in encoder.parameters()
    }


@pytest.mark.parametrize("step", range(STEPS))
def test_killed_at_any_step_and_resumed_a_run_with_a_frozen_teacher_is_bit_identical(
    step, train, parent, monkeypatch
):
    whole = _distill(train, parent, output="whole")
    train_step = Trainer.train_step

    def killed(self, batch):
        if batch.step == step:
            raise KeyboardInterrupt
        return train_step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(KeyboardInterrupt):
            _distill(train, parent, output="killed")
    # The run has all that it needs.
    (parent.path / ENCODER).unlink()
    resumed = train(resume="killed")
    first, second = load_checkpoint(whole.checkpoints), load_checkpoint(resumed.checkpoints)
    assert first.tensors.keys() == second.tensors.keys()
    assert all(torch.equal(item, second.tensors[name]) for name, item in first.tensors.items())


def test_a_teacher_that_changed_or_has_gone_is_refused_on_resume(train, parent):
    run = _distill(train, parent, output="run")
    path = run.path / TEACHER
    tensors = load_file(path)
    name = next(name for name, item in tensors.items() if item.is_floating_point())
    save_file({**tensors, name: tensors[name] + 1}, path)
    with pytest.raises(RunFolderError, match="does not hold the weights of the run's teacher"):
        train(resume=run.path)
    path.unlink()
    with pytest.raises(RunFolderError, match="put it back"):
        train(resume=run.path)


def test_a_recipe_of_a_run_takes_no_other_teacher_of_that_name(train, parent, registry, console):
    run = _distill(train, parent, output="run")
    weights = load_file(parent.path / ENCODER)
    save_file({name: item * 2 for name, item in weights.items()}, parent.path / ENCODER)
    with pytest.raises(UsageError, match="sha256 differs"):
        sslcore.train(
            config=run.path / "recipe.toml", output="again", registry=registry, console=console
        )
    assert not Path("again").exists()


def test_a_run_goes_on_from_one_with_a_frozen_teacher_whose_source_has_gone(
    train, parent, registry, console
):
    run = _distill(train, parent, output="run")
    (parent.path / ENCODER).unlink()
    longer = sslcore.train(
        extend=run.path, output="longer", registry=registry, console=console, evaluate=False
    )
    assert (longer.path / TEACHER).read_bytes() == (run.path / TEACHER).read_bytes()


def test_a_method_that_needs_a_trained_teacher_says_how_to_give_one(train):
    with pytest.raises(UsageError, match=r"needs a trained teacher: --set teacher\.path=RUN"):
        train("distill", output="run")
    with pytest.raises(UsageError, match=r"needs a trained teacher"):
        train("distill", {"encoder": "vit"}, output="run")
    with pytest.raises(UsageError, match=r"teacher\.path: .*nowhere is not there"):
        train("distill", {"path": "nowhere"}, output="run")
    assert not Path("run").exists()


def test_a_frozen_teacher_takes_all_of_its_weights_or_none(train, parent):
    weights = load_file(parent.path / ENCODER)
    weights.pop(next(iter(weights)))
    save_file(weights, "some.safetensors")
    with pytest.raises(UsageError, match=r"a frozen teacher needs all of them"):
        train("distill", {"path": "some.safetensors", "encoder": "conv-encoder"}, output="run")


def test_weights_of_another_encoder_are_refused(train, parent):
    with pytest.raises(UsageError, match=r"teacher: none of the .* fits the encoder"):
        train("distill", {"path": str(parent.path), "encoder": "vit"}, output="run")


def test_a_teacher_that_follows_the_student_may_begin_with_weights_of_its_own(train, parent):
    still = {"momentum": 1.0, "final_momentum": 0.999999}
    run = train("byol", {"path": str(parent.path), **still}, encoder="conv-encoder", output="run")
    saved = load_checkpoint(run.checkpoints).section("model")
    own = load_file(parent.path / ENCODER)
    for name, item in own.items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            torch.testing.assert_close(saved[f"teacher.encoder.{name}"], item, atol=1e-4, rtol=1e-4)


def test_settings_of_the_teachers_encoder_are_validated(registry):
    teacher = {"encoder": "vit", "settings": {"depht": 1}}
    with pytest.raises(SettingsError, match=r"teacher\.settings\.depht: no such setting.*depth"):
        make_recipe("distill", settings={"teacher": teacher}, registry=registry)
    pairs = [("teacher", "encoder", "vit"), ("teacher", "settings.depth", 2)]
    recipe, _ = make_recipe("distill", settings=pairs, registry=registry)
    assert recipe.teacher_encoder.settings["depth"] == 2
    again, _ = make_recipe(config=recipe.to_dict(), registry=registry)
    assert again == recipe


def test_the_student_is_drawn_alike_with_any_teacher(registry):
    found = []
    for encoder in ("vit", "small-cnn"):
        recipe, _ = make_recipe(
            "distill", settings={"teacher": {"encoder": encoder}}, registry=registry
        )
        found.append(build_pipeline(recipe, ImageShape(16, 1)))
    first, second = (pipeline.encoder.state_dict() for pipeline in found)
    assert all(torch.equal(item, second[name]) for name, item in first.items())


def test_processes_and_micro_batches_with_a_frozen_teacher_give_the_result_of_one(tmp_path):
    name = "distill+encoder:vit+encoder.depth=1+teacher.encoder=small-cnn"
    split = f"{name}+training.micro_batch=4"
    found = {}
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        subprocess.run(
            [sys.executable, *launch, str(SCRIPT), str(folder), name, split],
            check=True,
            capture_output=True,
        )
        for each in (name, split):
            found[count, each] = load_file(folder / f"{each}.safetensors")
    alone = found.pop((1, name))
    assert any(key.startswith("gradient/") for key in alone)
    for other in found.values():
        torch.testing.assert_close(other, alone, rtol=1e-8, atol=1e-10)
