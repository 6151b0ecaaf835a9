"""`sslcore train --seeds` and `--sweep`: several runs, and their comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sslcore.cli
from sslcore.errors import InterruptedRun
from sslcore.training.session import Session

QUICK = [
    *("--method", "simclr", "--epochs", "1", "--batch-size", "512", "--precision", "fp32"),
    *("--evaluator", "knn"),
]


@pytest.fixture
def train(capsys):
    def run(*arguments):
        code = sslcore.cli.run(["train", *QUICK, *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_seeds_end_with_a_mean_and_its_spread(train):
    code, out, _ = train("--seeds", 2, "--seed", 3, "-o", "many")
    assert code == 0
    assert "3, 4" in out
    assert "±" in out
    assert out.endswith("many/compare.html\n")
    assert {path.name for path in Path("many").iterdir()} == {"seed=3", "seed=4", "compare.html"}


def test_a_run_of_a_sweep_is_the_run_that_train_makes_alone(train):
    assert train("--sweep", "loss.temperature=0.1,0.5", "-o", "many")[0] == 0
    assert train("--set", "loss.temperature=0.5", "-o", "alone")[0] == 0
    weights = [
        Path(folder, "encoder.safetensors").read_bytes()
        for folder in ("many/temperature=0.5", "many/temperature=0.1", "alone")
    ]
    assert weights[0] == weights[2] != weights[1]


def test_a_sweep_goes_on_where_it_was_stopped(train, monkeypatch):
    calls = []
    whole = Session.train

    def stopping(self, trainer, run, checkpoint=None, **options):
        calls.append(run.path.name)
        if len(calls) == 2:
            raise InterruptedRun("stopped and saved after step 0 of 2; go on with: x")
        whole(self, trainer, run, checkpoint, **options)

    monkeypatch.setattr(Session, "train", stopping)
    sweep = ("--sweep", "loss.temperature=0.1,0.2,0.5", "-o", "many")
    code, _, err = train(*sweep)
    assert code == 130
    assert "repeat the command with --output many" in err
    code, out, err = train(*sweep)
    assert code == 0, err
    assert calls == [
        "temperature=0.1",
        "temperature=0.2",
        "temperature=0.2",
        "temperature=0.5",
    ]
    assert "temperature=0.1 has finished already" in err
    assert out.count("finished") == 3


def test_a_folder_with_other_settings_is_refused_before_training(train):
    assert train("--seeds", 1, "--sweep", "loss.temperature=0.1,0.5", "-o", "many")[0] == 0
    before = {path: path.read_bytes() for path in Path("many").rglob("*.safetensors")}
    code, out, err = train("--sweep", "loss.temperature=0.1,0.5", "--lr", "0.5", "-o", "many")
    assert (code, out) == (2, "")
    assert "many/temperature=0.1 has a run with other settings (optimizer.lr: 0.07 → 0.5)" in err
    assert {path: path.read_bytes() for path in Path("many").rglob("*.safetensors")} == before


def test_a_run_that_fails_is_shown_as_failed_and_the_others_go_on(train):
    code, out, err = train("--sweep", "optimizer.lr=1e30,0.1", "-o", "many")
    assert code == 1
    assert "warning: many/lr=1e-30 failed" in err or "failed: " in err
    assert "failed at step" in out
    states = [
        json.loads(path.read_text())["state"] for path in sorted(Path("many").glob("*/status.json"))
    ]
    assert sorted(states) == ["failed", "finished"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sweep", "loss.temprature=0.1,0.2"], "no such setting; nearest: temperature"),
        (["--sweep", "loss.temperature=0.1,hot"], "expected a number > 0, got 'hot'"),
        (["--sweep", "loss.temperature=0.1"], "there is only one value"),
        (["--sweep", "los.temperature=0.1,0.2"], "no such section; nearest: loss"),
        (["--trials", "2"], "there are none"),
        (["--seeds", "2", "--resume", "run"], "--resume is for one run"),
    ],
)
def test_a_wrong_sweep_trains_nothing(train, arguments, said):
    code, out, err = train(*arguments, "-o", "many")
    assert (code, out) == (2, "")
    assert said in err
    assert not Path("many").exists()


def test_methods_are_compared_by_one_command(capsys):
    command = [
        *("train", "--sweep", "method=simclr,simsiam", "--seeds", "2", "--evaluator", "knn"),
        *("--epochs", "1", "--batch-size", "512", "--precision", "fp32", "-o", "many"),
    ]
    assert sslcore.cli.run([*command, "--dry-run"]) == 0
    folders = [
        f"many/method={method},seed={seed}" for method in ("simclr", "simsiam") for seed in (0, 1)
    ]
    assert capsys.readouterr().out.split() == folders
    assert not Path("many").exists()
    assert sslcore.cli.run(command) == 0
    out = capsys.readouterr().out
    assert "simclr is ahead of simsiam" in out or "simsiam is ahead of simclr" in out
    assert out.count("over untrained") == 2
    assert "These are whole recipes" in out
    methods = {
        line.split(" = ")[1]
        for folder in folders
        for line in Path(folder, "recipe.toml").read_text().splitlines()
        if line.startswith("method = ")
    }
    assert methods == {'"simclr"', '"simsiam"'}


def test_a_method_beside_a_sweep_over_methods_is_refused(train):
    code, _, err = train("--sweep", "method=moco,vicreg", "-o", "many")
    assert code == 2
    assert "leave --method out" in err


def test_a_dry_run_of_a_sweep_refuses_what_the_sweep_refuses(train):
    code, _, err = train("--sweep", "loss.temprature=1,2", "-o", "many", "--dry-run")
    assert code == 2
    assert "temperature" in err


def test_a_sweep_that_begins_with_weights_goes_on(train):
    assert train("-o", "first")[0] == 0
    sweep = ("--init", "first", "--sweep", "loss.temperature=0.1,0.5", "-o", "many")
    assert train(*sweep)[0] == 0
    code, _, err = train(*sweep)
    assert code == 0, err
    assert err.count("has finished already") == 2
