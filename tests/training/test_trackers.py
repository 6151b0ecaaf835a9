"""Trackers are told what happens; they can't change a run, and cost only themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
import torch
from annotated_types import Gt

import sslcore
import sslcore.cli
from sslcore.errors import CompositionError, InterruptedRun, UnknownNameError, UsageError

SETTINGS = {"training": {"epochs": 1, "batch_size": 512, "precision": "fp32", "log_every": 1}}


class Notes:
    """Notes everything that it is told, and spoils what it can reach."""

    told: ClassVar[list[tuple]] = []

    def started(self, folder, settings, step):
        self.told.append(("started", folder, step, settings["loss.temperature"]))
        settings["loss.temperature"] = 100.0
        torch.manual_seed(7)

    def logged(self, step, numbers):
        self.told.append(("logged", step, numbers["loss"]))
        numbers.clear()
        torch.rand(5)

    def evaluated(self, table):
        self.told.append(("evaluated", dict(table["encoder"])))
        table.clear()

    def drew(self, name, path):
        self.told.append(("drew", name, path.is_file()))

    def ended(self, state):
        self.told.append(("ended", state))


class Broken:
    def logged(self, step, numbers):
        raise RuntimeError("no network")

    def ended(self, state):
        raise AssertionError("it was left out")


@pytest.fixture
def notes(registry, add):
    add(registry, "tracker", Notes, name="diary")
    add(registry, "tracker", Broken, name="broken", distribution="other")
    Notes.told.clear()
    return registry


def train(output, console, registry=None, **options):
    return sslcore.train(
        method="simclr",
        settings=SETTINGS,
        evaluators=["knn"],
        output=output,
        console=console,
        registry=registry,
        **options,
    )


def encoder_of(run):
    return (run.path / "encoder.safetensors").read_bytes()


def test_a_tracker_is_told_everything_and_changes_nothing(console, notes):
    plain = train("plain", console)
    run = train("run", console, notes, track=["diary"], report=True)
    assert encoder_of(run) == encoder_of(plain)
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    kinds = [told[0] for told in Notes.told]
    assert Notes.told[0] == ("started", Path("run"), 0, 0.5)
    assert [told for told in Notes.told if told[0] == "logged"] == [
        ("logged", line["step"], line["loss"]) for line in lines
    ]
    assert ("evaluated", run.read_evaluation()["encoder"]) in Notes.told
    assert ("drew", "training", True) in Notes.told
    assert Notes.told[-1] == ("ended", "finished")
    assert kinds.count("started") == kinds.count("ended") == 1
    assert "temperature = 0.5" in (run.path / "recipe.toml").read_text()


def test_a_tracker_that_fails_warns_once_and_is_left_out(console, notes):
    run = train("run", console, notes, track=["broken", "diary"])
    said = console.file.getvalue()
    assert said.count("tracker broken failed and is left out from now on") == 1
    assert "RuntimeError: no network" in said
    assert ("ended", "finished") in Notes.told
    assert run.finished


def test_a_tracker_is_told_that_a_run_was_stopped_and_that_it_goes_on(console, notes):
    with pytest.raises(InterruptedRun):
        train("run", console, notes, track=["diary"], time_limit=1e-9)
    assert Notes.told[-1] == ("ended", "stopped")
    Notes.told.clear()
    sslcore.train(resume="run", console=console, registry=notes, track=["diary"])
    assert Notes.told[0] == ("started", Path("run"), 1, 0.5)


def test_an_unknown_tracker_is_refused_before_training(console):
    with pytest.raises(
        UnknownNameError, match="no tracker is called 'tensorbord'; nearest: tensor"
    ):
        train("run", console, track=["tensorbord"])
    assert not Path("run").exists()


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_library_is_refused_before_training(console, monkeypatch, name):
    import importlib

    whole = importlib.import_module

    def without(module, package=None):
        if module == name:
            raise ImportError(f"No module named '{name}'")
        return whole(module, package)

    monkeypatch.setattr("sslcore_trackers.extras.importlib.import_module", without)
    with pytest.raises(CompositionError, match=rf"pip install 'sslcore\[{name}\]'"):
        train("run", console, track=[name])
    assert not Path("run").exists()


def test_trackers_are_listed_without_their_libraries(capsys):
    assert sslcore.cli.run(["components", "tracker"]) == 0
    assert all(name in capsys.readouterr().out for name in ("tensorboard",))
    assert sslcore.cli.run(["components", "tracker", "wandb"]) == 0
    assert "WANDB_" in capsys.readouterr().out


class Periodic:
    made: ClassVar[list[int]] = []

    def __init__(self, *, every: Annotated[int, Gt(0)] = 1) -> None:
        self.made.append(every)

    def ended(self, state):
        pass


@pytest.fixture
def periodic(registry, add):
    add(registry, "tracker", Periodic, name="periodic")
    Periodic.made.clear()
    return registry


def test_a_tracker_has_settings_that_are_no_part_of_the_recipe(periodic, console):
    sslcore.train(
        method="simclr",
        settings=SETTINGS | {"tracker": {"every": 5}},
        output="run",
        console=console,
        registry=periodic,
        track=["periodic"],
        evaluate=False,
    )
    assert Periodic.made == [5]
    assert "tracker" not in Path("run/recipe.toml").read_text()


def test_a_resumed_run_takes_settings_of_trackers_and_no_others(periodic, console):
    options = {"console": console, "registry": periodic, "track": ["periodic"], "evaluate": False}
    sslcore.train(method="simclr", settings=SETTINGS, output="run", **options)
    sslcore.train(resume="run", settings={"tracker": {"every": 3}}, **options)
    assert Periodic.made == [1, 3]
    with pytest.raises(UsageError):
        sslcore.train(resume="run", settings={"loss": {"temperature": 3.0}}, **options)


@pytest.mark.parametrize(
    ("settings", "track", "said"),
    [
        (
            {"evry": 5},
            ["periodic"],
            "tracker.evry: no chosen tracker has such a setting (per",
        ),
        ({"every": 5}, [], "none is chosen: --track NAME"),
        ({"every": 0}, ["periodic"], "tracker.every: "),
    ],
)
def test_a_wrong_setting_of_a_tracker_is_refused_before_a_folder_is_made(
    settings, track, said, periodic, console
):
    with pytest.raises(UsageError) as refused:
        sslcore.train(
            method="simclr",
            settings=SETTINGS | {"tracker": settings},
            output="run",
            console=console,
            registry=periodic,
            track=track,
        )
    assert said in str(refused.value)
    assert not Path("run").exists()


def test_a_dry_run_refuses_settings_of_trackers_too(capsys):
    command = ["train", "--method", "simclr", "--dry-run", "--set", "tracker.evry=1"]
    assert sslcore.cli.run(command) == 2
    assert "tracker.evry: no chosen tracker has such a setting" in capsys.readouterr().err
