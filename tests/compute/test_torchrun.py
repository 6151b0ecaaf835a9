"""`torchrun … -m sslcore train`: one run folder, one output, and recovery from a crash."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

#: A loss that ends the process of rank 1 once, at a step, without a message.
DYING = """
import os
import sslcore

@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(name="dying", summary="Dies once", build="dying:Dying")

def __getattr__(name):
    if name != "Dying":
        raise AttributeError(name)
    from torch import Tensor, nn

    class Dying(nn.Module):
        def forward(self, projections: Tensor, progress: float = 0.0) -> Tensor:
            first, second = projections
            doomed = os.environ.get("RANK") == "1" and os.environ.get("DIES")
            if doomed and progress > 0.5 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
                os._exit(7)
            return (first - second).square().mean() - 0.1 * projections.std(1).mean()

    Dying.forward.__annotations__ = {
        "projections": Tensor, "progress": float, "return": Tensor
    }
    return Dying
"""


def _torchrun(*arguments, processes=2, restarts=0, **environment):
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *(f"--nproc-per-node={processes}", f"--max-restarts={restarts}"),
            *("-m", "sslcore", *arguments),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", **environment},
        timeout=300,
    )


def _train(*more, **options):
    return _torchrun(
        *("train", "--method", "simclr", "--batch-size", "64", "--precision", "fp32"),
        *more,
        **options,
    )


def _lines(path):
    return Path(path).read_text().splitlines()


def _own_words(done):
    """Return the lines of stderr by sslcore, without those by torchrun."""
    return [line for line in done.stderr.splitlines() if line.startswith("[rank ")]


def test_one_process_writes_speaks_and_evaluates(tmp_path):
    done = _train("--epochs", "1", "--output", "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("untrained") == 1
    assert done.stderr.count("in 2 processes") == 1
    lines = [json.loads(line) for line in _lines("run/metrics.jsonl")]
    assert [line["step"] for line in lines] == [10, 20, 21]
    table = json.loads(Path("run/evaluation.json").read_text())
    assert table.keys() == {"encoder", "random_init", "pixels", "details"}


@pytest.mark.slow
def test_evaluation_during_training_is_the_main_processs_and_changes_nothing(tmp_path):
    plain = _train("--epochs", "1", "--no-evaluate", "--output", "plain")
    assert plain.returncode == 0, plain.stderr
    watched = _train(
        *("--epochs", "1", "--no-evaluate", "--output", "watched", "--evaluator", "knn"),
        *("--set", "training.evaluate_every=0.5", "--set", "training.keep=best"),
        *("--track", "tensorboard", "--report"),
    )
    assert watched.returncode == 0, watched.stderr
    lines = [json.loads(line) for line in _lines("watched/metrics.jsonl")]
    measured = [line for line in lines if "trained.knn_top1" in line]
    assert [line["step"] for line in measured] == [10, 20, 21]
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    alone = [json.loads(line) for line in _lines("plain/metrics.jsonl")]
    assert losses == {line["step"]: line["loss"] for line in alone}
    assert len(list(Path("watched/tensorboard").iterdir())) == 1
    assert Path("watched/report.html").exists()


@pytest.fixture
def dying(tmp_path):
    """The arguments of a training run with the loss that dies."""
    path = tmp_path / "dying.py"
    path.write_text(DYING)
    return ("-p", str(path), "--loss", "dying", "--epochs", "1", "--no-evaluate")


@pytest.mark.slow
def test_a_process_that_dies_costs_the_steps_since_the_last_checkpoint(dying):
    often = ("--set", "training.checkpoint_every=4", "--set", "training.log_every=1")
    whole = _train(*dying, *often, "--output", "whole")
    assert whole.returncode == 0, whole.stderr
    # No output folder is given: the restarted command must find its run.
    started_again = _train(*dying, *often, restarts=1, DIES="1")
    assert started_again.returncode == 0, started_again.stderr
    (folder,) = (path.name for path in Path("runs").iterdir())
    weights, expected = (
        load_file(f"{path}/encoder.safetensors") for path in (f"runs/{folder}", "whole")
    )
    assert weights.keys() == expected.keys()
    assert all((weights[name] == expected[name]).all() for name in weights)
    steps = [json.loads(line)["step"] for line in _lines(f"runs/{folder}/metrics.jsonl")]
    assert steps == list(range(1, 22))


def test_a_process_that_dies_for_good_is_one_clear_line_that_says_how_to_go_on(dying):
    done = _train(*dying, "--set", "training.checkpoint_every=4", "--output", "run", DIES="1")
    assert done.returncode != 0
    (said,) = _own_words(done)
    # torchrun asks the others to stop; on a busy machine this may happen first.
    assert "another process of this run exited" in said or "stopped and saved" in said
    assert "go on with: sslcore train --resume" in said
    assert "step 8 is saved" in said or "stopped and saved" in said
    # The only traceback is torchrun's own.
    assert "sslcore/training/trainer.py" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--batch-size", "63"],
            "use --batch-size 62 or 64, or start a number of processes that divides 63",
        ),
        pytest.param(
            ["--device", "cuda:1"],
            "each of several processes needs a device of its own",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["--set", "loss.temperature=hot"],
            "loss.temperature: expected",
            marks=pytest.mark.slow,
        ),
        pytest.param(["--output", "taken"], "taken exists already", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_done_is_said_with_the_rank_of_who_says_it(arguments, said):
    Path("taken").mkdir()
    Path("taken", "something").touch()
    done = _train(*arguments)
    assert done.returncode != 0
    # torchrun ends the others as soon as one has ended, so any number of them may report it.
    own = _own_words(done)
    assert own
    assert len(set(own)) == len(own)
    assert any(said in line for line in own)
    # A process that waits for another may find that it has exited.
    expected = (said, "another process of this run exited")
    assert all(re.match(r"\[rank [01]\] Error: ", line) for line in own)
    assert all(any(text in line for text in expected) for line in own)
    assert "exitcode  : 2" in done.stderr
    assert [path.name for path in Path("taken").iterdir()] == ["something"]
    assert not Path("runs").exists()


#: A loss that raises an error in the process of rank 1 only.
UNEVEN = DYING.replace("os._exit(7)", "raise ValueError('bad luck')").replace(
    " progress > 0.5", " True"
)


def test_an_error_of_one_process_alone_is_said_with_its_rank(tmp_path):
    path = tmp_path / "dying.py"
    path.write_text(UNEVEN)
    done = _train("-p", str(path), "--loss", "dying", "--output", "run", DIES="1")
    assert done.returncode != 0
    own = [line for line in _own_words(done) if line.startswith("[rank 1] Error")]
    assert len(own) == 1
    assert "bad luck" in own[0]
    assert "gloo" not in "".join(_own_words(done))


@pytest.mark.slow
def test_a_dry_run_prints_one_recipe():
    done = _train("--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[training]") == 1


@pytest.mark.slow
def test_evaluate_is_for_one_process():
    done = _torchrun("evaluate", "run")
    own = _own_words(done)
    assert own
    assert all("start it without torchrun" in line for line in own)
