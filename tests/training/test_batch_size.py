"""A batch size that nobody chose gives way to the number of images."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import sslcore
from sslcore.cli import cli
from sslcore.data import Data, Split
from sslcore.data.batches import largest_batch
from sslcore.errors import UsageError
from sslcore.runs.folder import Run


@pytest.fixture
def few(tmp_path):
    """A folder of 25 images, of which 20 are to train on."""
    from PIL import Image

    (tmp_path / "few").mkdir()
    for number in range(25):
        Image.new("L", (8, 8), number * 10).save(tmp_path / "few" / f"{number}.png")
    return tmp_path / "few"


def train(few, *more):
    command = ["train", "--method", "autoencoder", "--data", str(few), "--epochs", "1"]
    return CliRunner().invoke(cli, [*command, "--no-report", "-o", str(few.parent / "run"), *more])


def test_twenty_images_train_in_batches_of_16_which_the_first_line_states(few):
    done = train(few)
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("autoencoder on")]
    assert "1 steps of 16 (batch size 16, since there are 20 images)" in line
    assert Run.open(few.parent / "run").config()["training"]["batch_size"] == 16


def test_a_resumed_run_keeps_the_batch_size_that_was_found(few):
    train(few)
    done = CliRunner().invoke(cli, ["train", "--resume", str(few.parent / "run"), "--no-report"])
    assert done.exit_code == 0, done.output
    assert "steps of 16, cpu" in done.output


@pytest.mark.parametrize("how", ["option", "file"])
def test_a_batch_size_that_was_chosen_stays_and_is_refused(few, how, tmp_path):
    if how == "option":
        done = train(few, "--batch-size", "21")
    else:
        (tmp_path / "own.toml").write_text("[training]\nbatch_size = 21\n")
        done = train(few, "--config", str(tmp_path / "own.toml"))
    assert isinstance(done.exception, UsageError)
    assert "21 is larger than the 20 training images" in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_a_data_set_with_more_images_than_a_batch_keeps_the_default(tmp_path):
    images = torch.randint(0, 255, (300, 1, 8, 8), dtype=torch.uint8)
    data = Data(Split(images), Split(images[:20]))
    result = sslcore.train(
        "autoencoder", data=data, settings={"training": {"epochs": 1}}, output=tmp_path / "run"
    )
    assert Run.open(result.path).config()["training"]["batch_size"] == 64


@given(images=st.integers(1, 10**6), processes=st.integers(1, 64))
def test_the_largest_batch_is_a_share_for_each_process_and_more_than_a_third_of_the_images(
    images, processes
):
    size = largest_batch(images, processes)
    assert size % processes == 0
    if processes == 1:
        assert size <= images < 2 * size
    elif images >= processes:
        assert size <= images
        assert size >= processes
        assert images < 2 * (size + processes)
