"""Tab completes with valid words, without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from sslcore.cli import main
try: main([])
except SystemExit as end: assert not end.code, end.code
assert 'torch' not in sys.modules, 'torch was imported'
"""


@pytest.fixture
def complete():
    """Return the completions of a line whose last word is incomplete."""

    def run(*words, shell="bash", **environment):
        line = ["sslcore", *words]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "_SSLCORE_COMPLETE": f"{shell}_complete",
                "COMP_WORDS": " ".join(line),
                "COMP_CWORD": words[-1] if shell == "fish" else str(len(line) - 1),
                **environment,
            },
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        if shell == "zsh":
            return done.stdout.split("\n")[1::3]
        return [line.partition(",")[2].split("\t")[0] for line in done.stdout.splitlines() if line]

    return run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_offered_the_methods(complete, shell):
    assert complete("train", "--method", "simc", shell=shell) == ["simclr"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tr"], ["train"]),
        (["methods", "cp"], ["cpc"]),
        (["components", "lo"], ["loss"]),
        (["components", "loss", "nt"], ["nt-xent"]),
        (["train", "--encoder", "resnet1"], ["resnet18"]),
        (["train", "--evaluator", "linear"], ["linear-probe"]),
        (["train", "--data", "cifar"], ["cifar10", "cifar100"]),
        (["-p", "no:sslcore_si"], ["no:sslcore_simclr"]),
        (["methods", "-p", "sslcore_p"], ["sslcore_probes"]),
        (["train", "--method", "simclr", "--set", "loss.t"], ["loss.temperature="]),
        (["train", "--method", "simclr", "--loss", "mse", "--set", "loss."], []),
        (["train", "-m", "simclr", "--set", "head.b"], ["head.batch_norm="]),
        (["train", "--set", "training.epo"], ["training.epochs="]),
        (["train", "-m", "simclr", "--set", "optimizer.m"], ["optimizer.momentum="]),
        (["train", "--data", "moving-digits", "--set", "data.f"], ["data.frames="]),
        (["train", "--data", "./photos", "--set", "data.p"], ["data.path="]),
        (["train", "--evaluator", "retrieval", "--set", "evaluator.labels"], []),
        (["evaluate", "runs/x", "--set", "evaluator.labels"], ["evaluator.labels_per_class="]),
        (["evaluate", "runs/x", "--set", "loss."], []),
        (["completion", "z"], ["zsh"]),
        (["new-plugin", "a", "--kind", "lo"], ["loss"]),
        (["check", "p"], ["plugin"]),
        (["check", "loss", "nt"], ["nt-xent"]),
        (["check", "method", "simc"], ["simclr"]),
        (["check", "plugin", "sslcore_si"], ["sslcore_simclr"]),
        (["check", "family", "nt"], []),
    ],
    ids=" ".join,
)
def test_what_can_stand_there_is_offered(complete, words, offered):
    assert complete(*words) == offered


def test_the_folders_of_runs_are_offered_the_newest_first_and_no_others(complete):
    for position, name in enumerate(("old-run", "new-run", "$(reboot)", "a b")):
        Path("runs", name).mkdir(parents=True)
        recipe = f"runs/{name}/recipe.toml"
        with Path(recipe).open("w"):
            pass
        os.utime(recipe, (position, position))
    Path("runs/no-run").mkdir(parents=True)
    assert complete("train", "--resume", "runs/") == ["runs/new-run", "runs/old-run"]
    assert complete("evaluate", "runs/o") == ["runs/old-run"]


def test_a_plugin_that_is_broken_or_loud_does_not_disturb(complete, site, loss_plugin):
    site.add("bad-plugin", "raise RuntimeError('broken')")
    site.add("loud-plugin", "print('hello')\n" + loss_plugin("loud_plugin", "loud"))
    path = os.pathsep.join(filter(None, [str(site.path), os.environ.get("PYTHONPATH")]))
    assert complete("components", "loss", "lo", PYTHONPATH=path) == ["loud"]
    strict = complete("components", "loss", "lo", PYTHONPATH=path, SSLCORE_STRICT="1")
    assert strict == ["loud"]


def test_the_parts_of_a_file_are_offered(complete, tmp_path):
    (tmp_path / "work" / "my_idea.py").write_text(
        "import sslcore\n@sslcore.hookimpl\ndef sslcore_losses():\n"
        "    yield sslcore.Loss(name='of-mine', summary='s', build='my_idea:X')\n"
    )
    assert complete("-p", "./my_idea.py", "train", "--loss", "of") == ["of-mine"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_asks_sslcore_for_words(site, shell):
    done = site.run("completion", shell)
    assert done.returncode == 0
    assert f"_SSLCORE_COMPLETE={shell}_complete" in done.stdout
    assert site.run("completion", "csh").returncode == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sslcore train --method simc", "simclr"),
        ("sslcore -p no:sslcore_si", "sslcore_simclr"),
        ("sslcore train --method simclr --set loss.t", "loss.temperature="),
        ("sslcore completion ", "bash zsh fish"),
    ],
)
def test_bash_completes_with_the_script_that_is_printed(tmp_path, line, offered):
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "sslcore"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sslcore "$@"\n')
    program.chmod(0o755)
    # Bash replaces the text after the last colon, so only that part is offered.
    script = f"""
eval "$(sslcore completion bash)"
compopt() {{ :; }}
COMP_LINE="{line}"
COMP_POINT=${{#COMP_LINE}}
_sslcore_completion sslcore
echo "offered: ${{COMPREPLY[*]}}"
complete -p sslcore
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
    )
    assert f"offered: {offered}\n" in done.stdout
    assert "-F _sslcore_completion sslcore" in done.stdout
