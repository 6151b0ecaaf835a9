"""`--init`: a run that begins with the weights of a run or of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import sslcore
import sslcore.cli
from sslcore.errors import InterruptedRun, RunFolderError, UsageError
from sslcore.recipe.request import Request
from sslcore.registry.registry import default_registry
from sslcore.training.start import plan

SETTINGS = {
    "training": {"epochs": 1, "batch_size": 512, "precision": "fp32"},
    "encoder": {"widths": [4, 8]},
}


def _train(output, console, method="simclr", encoder="conv-encoder", **options):
    return sslcore.train(
        method=method,
        encoder=encoder,
        settings=SETTINGS | options.pop("settings", {}),
        evaluators=["knn"],
        output=output,
        console=console,
        **options,
    )


def _weights(path):
    return load_file(path)


def _equal(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.fixture
def first(console):
    return _train("first", console)


def test_a_run_begins_with_the_encoder_of_another_run(first, console):
    run = _train("second", console, init=first.path, method="simsiam")
    began = _weights(run.path / "initial.safetensors")
    assert _equal(began, _weights(first.path / "encoder.safetensors"))
    details = run.read_details()["knn_top1"]
    assert details["pretrained"] is True
    # What it is compared with is the encoder as it began: that of the first run.
    scores = run.read_evaluation()
    assert scores["random_init"]["knn_top1"] == first.read_evaluation()["encoder"]["knn_top1"]
    assert "of the 4 tensors of the encoder" in console.file.getvalue()


def test_with_no_rate_the_encoder_stays_what_it_was(first, console):
    settings = {"optimizer": {"name": "SGD", "lr": 1e-30, "weight_decay": 0.0}}
    run = _train("second", console, init=first.path, settings=settings)
    assert _equal(
        _weights(run.path / "encoder.safetensors"), _weights(first.path / "encoder.safetensors")
    )


def test_the_teacher_of_a_run_can_be_taken(console):
    taught = _train("taught", console, method="byol")
    run = _train("second", console, init=taught.path, init_from="teacher")
    began = _weights(run.path / "initial.safetensors")
    (checkpoint,) = sorted((taught.path / "checkpoint").glob("*.safetensors"))[-1:]
    teacher = {
        name.removeprefix("model/teacher.encoder."): item
        for name, item in _weights(checkpoint).items()
        if name.startswith("model/teacher.encoder.")
    }
    assert _equal(began, teacher)
    assert not _equal(began, _weights(taught.path / "encoder.safetensors"))


def test_views_are_normalised_as_in_the_run_unless_the_user_says_otherwise(console):
    other = {"augmentation": {"mean": [0.1], "std": [0.9]}}
    first = _train("first", console, settings=other)
    taken = _train("taken", console, init=first.path).config()["augmentation"]
    assert (taken["mean"], taken["std"]) == ([0.1], [0.9])
    assert "views are normalised as in" in console.file.getvalue()
    said = {"augmentation": {"mean": [0.2]}}
    asked = _train("asked", console, init=first.path, settings=said).config()["augmentation"]
    assert (asked["mean"], asked["std"]) == ([0.2], [0.9])


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(first, console):
    whole = _train("whole", console, init=first.path, settings={"training": _long()})
    with pytest.raises(InterruptedRun):
        _train("cut", console, init=first.path, settings={"training": _long()}, time_limit=1e-9)
    # The weights that it began with are its own now.
    (first.path / "encoder.safetensors").unlink()
    resumed = sslcore.train(resume="cut", console=console)
    files = [each.path / "encoder.safetensors" for each in (whole, resumed)]
    assert _equal(*map(_weights, files))
    assert whole.read_evaluation() == resumed.read_evaluation()


def _long():
    return SETTINGS["training"] | {"epochs": 2}


def test_the_recipe_repeats_the_run_and_knows_its_weights(first, console):
    run = _train("second", console, init=first.path)
    again = sslcore.train(config=run.recipe_path, output="again", console=console)
    files = [each.path / "encoder.safetensors" for each in (run, again)]
    assert _equal(*map(_weights, files))
    path = first.path / "encoder.safetensors"
    save_file({name: item + 1 for name, item in _weights(path).items()}, path)
    with pytest.raises(UsageError, match="not those that the recipe was written for"):
        sslcore.train(config=run.recipe_path, output="third", console=console)
    assert not Path("third").exists()


def test_evaluation_and_report_need_the_weights_that_the_run_began_with(first, console):
    run = _train("second", console, init=first.path)
    file = run.path / "initial.safetensors"
    kept = file.read_bytes()
    file.unlink()
    with pytest.raises(RunFolderError, match="put it back"):
        sslcore.evaluate(run.path, console=console)
    save_file({name: item + 1 for name, item in _weights_of(kept).items()}, file)
    with pytest.raises(RunFolderError, match="does not hold the weights"):
        sslcore.evaluate(run.path, console=console)
    # The encoder itself needs nothing else.
    assert sslcore.load_encoder(run.path) is not None


def _weights_of(content):
    from safetensors.torch import load

    return load(content)


def test_most_of_the_encoder_missing_is_a_warning(first, console):
    weights = _weights(first.path / "encoder.safetensors")
    save_file({"module.layers.0.bias": weights["layers.0.bias"]}, "some.safetensors")
    _train("second", console, init="some.safetensors")
    said = console.file.getvalue()
    assert "it has 1 of the 4 tensors of the encoder (names that begin with 'module.')" in said
    assert "warning" in said.partition("it has 1 of the 4")[0].rpartition("\n")[2]
    assert "does not say how views were normalised" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--init", "nowhere"], "can't be read"),
        (["--init", "first", "--encoder", "small-cnn"], "choose the encoder"),
        (["--init", "first", "--init-from", "teacher"], "has no teacher"),
        (["--init", "first", "--init-from", "head"], "it is encoder or teacher"),
        (["--init-from", "teacher"], "init.path: must be given"),
        (["--init", "unfinished"], "has not finished"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(arguments, said, first, capsys):
    unfinished = Path("unfinished")
    unfinished.mkdir()
    (unfinished / "recipe.toml").write_text((first.path / "recipe.toml").read_text())
    command = ["train", "--method", "simclr", "--encoder", "conv-encoder", "-o", "second"]
    small = ["--set", "encoder.widths=4,8"] if "small-cnn" not in arguments else []
    assert sslcore.cli.run([*command, *small, *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not Path("second").exists()


def test_runs_that_began_differently_are_told_apart(first, console, capsys):
    _train("drawn", console)
    _train("begun", console, init=first.path)
    assert sslcore.cli.run(["compare", "drawn", "begun", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert records[0]["init.path"] is None
    assert records[1]["init.path"] == str(first.path.absolute())


@pytest.mark.parametrize(
    ("encoder", "settings", "mean"),
    [
        ("resnet18", {"weights": "DEFAULT", "stem": "imagenet"}, [0.485, 0.456, 0.406]),
        ("timm", {"model": "vit_tiny_patch16_224", "pretrained": True}, [0.5, 0.5, 0.5]),
        ("timm", {"model": "resnet10t", "pretrained": True}, [0.485, 0.456, 0.406]),
    ],
)
def test_views_are_normalised_as_pretrained_weights_expect(encoder, settings, mean):
    def planned(**augmentation):
        request = Request.of(
            method="simclr",
            data="cifar10",
            encoder=encoder,
            settings={"encoder": settings, "augmentation": augmentation},
        )
        found = plan(request, default_registry())
        return found.recipe.to_dict()["augmentation"], [
            note for note in found.notes if "normalised" in note
        ]

    augmentation, notes = planned()
    assert augmentation["mean"] == mean
    assert notes == [note for note in notes if f"the weights of {encoder} expect" in note]
    assert len(notes) == 1
    # The user wins, and weights that are drawn expect nothing.
    assert planned(mean=[0.1])[0]["mean"] == [0.1]
    assert planned(mean=[0.1])[1] == []


def test_drawn_weights_take_the_normalisation_of_the_data_set():
    for encoder in ("resnet18", "timm:resnet10t"):
        request = Request.of(method="simclr", data="cifar10", encoder=encoder)
        found = plan(request, default_registry())
        assert found.recipe.to_dict()["augmentation"]["mean"] == [0.4914, 0.4822, 0.4465]


def test_grey_images_take_the_mean_over_the_channels():
    settings = {"encoder": {"pretrained": True, "model": "resnet10t"}}
    request = Request.of(method="simclr", data="digits", encoder="timm", settings=settings)
    mean = plan(request, default_registry()).recipe.to_dict()["augmentation"]["mean"]
    assert mean == [pytest.approx((0.485 + 0.456 + 0.406) / 3)]
