"""Images that change between the start of a run and its resumption are reported."""

from __future__ import annotations

import os
import shutil

import pytest

import sslcore
from sslcore.errors import RunFolderError
from sslcore.training.trainer import Trainer

QUICK = {"training": {"epochs": 1, "batch_size": 8, "precision": "fp32"}}
SAID = "images were added, renamed or written since run was started"


class _Killed(BaseException):
    pass


@pytest.fixture
def folder(photos, console, monkeypatch):
    """The images of a run that was killed before its second step."""
    folder = photos({"cat": 12, "dog": 12}, size=16)

    def killed(self, batch):
        if batch.step == 1:
            raise _Killed
        return train_step(self, batch)

    train_step = Trainer.train_step
    options = {"data": str(folder), "encoder": "conv-encoder", "settings": QUICK, "device": "cpu"}
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(_Killed):
            sslcore.train("simclr", output="run", console=console, evaluate=False, **options)
    return folder


def resumed(console) -> str:
    """Resume the run, and return what it printed."""
    console.file.seek(0)
    console.file.truncate()
    sslcore.train(resume="run", console=console, device="cpu", evaluate=False)
    return " ".join(console.file.getvalue().split())


def test_images_that_did_not_change_are_no_note(folder, console):
    assert SAID not in resumed(console)


def test_images_that_were_written_since_the_start_are_a_note(folder, console):
    for file in folder.rglob("*.png"):
        os.utime(file, (1, 1))
    assert SAID in resumed(console)


def test_a_class_that_was_renamed_is_a_note(folder, console):
    shutil.move(folder / "cat", folder / "ape")
    assert SAID in resumed(console)


def test_fewer_training_images_are_refused_with_the_way_out(folder, console):
    for file in sorted(folder.rglob("*.*"))[:6]:
        file.unlink()
    with pytest.raises(RunFolderError, match="restore it, or start a new run"):
        resumed(console)
