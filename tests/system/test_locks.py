"""Only one process at a time trains in a run folder."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

import sslcore
import sslcore.cli
from sslcore.errors import RunFolderError
from sslcore.runs.checkpoint import has_checkpoint
from sslcore.runs.folder import Run
from sslcore.system.locks import LOCK, locked

TRAIN = ["train", "--method", "autoencoder", "--epochs", "50", "--output", "run", "--no-evaluate"]
TRAIN += ["--set", "training.checkpoint_every=3", "--set", "encoder.widths=4,8"]


def test_a_run_that_trains_is_not_resumed_and_a_killed_one_is(capsys):
    process = subprocess.Popen([sys.executable, "-m", "sslcore", *TRAIN], stderr=subprocess.PIPE)
    try:
        while process.poll() is None and not has_checkpoint(Run("run").checkpoints):
            time.sleep(0.05)
        code = sslcore.cli.run(["train", "--resume", "run", "--no-evaluate"], debug=False)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    assert code == 2
    assert "run is in use: a process is training in it" in capsys.readouterr().err
    with locked(Run("run").path):
        pass


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    with locked(tmp_path):
        with pytest.raises(RunFolderError, match="is in use"), locked(tmp_path):
            pytest.fail("locked twice")
        # The refused process has not removed the lock.
        with pytest.raises(RunFolderError, match="is in use"), locked(tmp_path):
            pytest.fail("locked twice")
    with locked(tmp_path):
        pass


def test_a_child_that_outlives_its_killed_parent_does_not_hold_the_lock(tmp_path):
    program = (
        "import os, pathlib, signal, sys\n"
        "from sslcore.system.locks import locked\n"
        f"with locked(pathlib.Path({str(tmp_path)!r})):\n"
        "    if os.fork() == 0:\n"
        "        print('child', flush=True)\n"
        "        sys.stdin.read()\n"
        "        os._exit(0)\n"
        "    sys.stdin.close()\n"
        "    signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "child\n"
        with pytest.raises(RunFolderError, match="is in use"), locked(tmp_path):
            pytest.fail("locked twice")
        process.kill()
        process.wait()
        with locked(tmp_path):
            pass
        # The child ends with its input.
        process.stdin.close()


def test_a_folder_with_nothing_but_a_lock_is_free_for_a_new_run(tiny, registry, console, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LOCK).touch()
    options = {"settings": tiny, "registry": registry, "console": console, "evaluate": False}
    assert sslcore.train("agreement", data="noise", output=folder, **options).finished


@pytest.mark.parametrize("name", ["file", "nowhere"])
def test_what_is_not_a_folder_is_named(name, tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunFolderError, match=f"{name} can't be written: there is no such folder"),
        locked(tmp_path / name),
    ):
        pytest.fail("locked nothing")
    assert [path.name for path in tmp_path.iterdir() if path.name != "work"] == ["file"]
