"""Runs on data of every kind: in memory, mapped, of any size, encoded; 4 channels and 16 bits."""

from __future__ import annotations

import ast
from pathlib import Path

import data_plugin
import numpy as np
import pytest
import torch
from PIL import Image

import sslcore
from sslcore.errors import DataError, TrainingError

QUICK = {"epochs": 2, "batch_size": 8, "log_every": 2, "precision": "fp32"}


@pytest.fixture
def paths(tmp_path) -> dict[str, dict[str, str]]:
    """Return the settings that each data set needs."""
    data_plugin.write_zip(tmp_path / "images.zip")
    tiles = np.random.default_rng(0).integers(100, 4000, (40, 16, 16), dtype=np.uint16)
    np.save(tmp_path / "tiles.npy", tiles)
    return {
        "deep-noise": {},
        "cells": {},
        "tiles": {"path": str(tmp_path / "tiles.npy")},
        "zipped": {"path": str(tmp_path / "images.zip")},
    }


def train(registry, name, settings, output, method="simclr", **options) -> sslcore.runs.folder.Run:
    more = options.pop("data", {})
    return sslcore.train(
        method,
        data=name,
        encoder="vit" if method == "mae" else "small-cnn",
        settings={"training": QUICK, "data": {**settings, **more}},
        output=output,
        evaluate=False,
        registry=registry,
        device="cpu",
        **options,
    )


def weights(run) -> bytes:
    return (run.path / "encoder.safetensors").read_bytes()


def test_each_kind_of_data_takes_a_third_party_less_than_40_lines():
    tree = ast.parse(Path(data_plugin.__file__).read_text())
    lines = {
        node.name.lower(): node.end_lineno - node.lineno + 1
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    assert lines["deep_noise"] < 40
    assert lines["tiles"] < 40
    assert lines["cells"] < 40
    assert lines["zipped"] < 40


@pytest.mark.parametrize("name", ["deep-noise", "tiles", "cells", "zipped"])
def test_a_run_on_each_kind_of_data_resumes_to_the_same_weights(registry, paths, name):
    whole = train(registry, name, paths[name], "whole")
    with pytest.raises(sslcore.errors.InterruptedRun):
        train(registry, name, paths[name], "parts", time_limit=0)
    resumed = sslcore.train(
        resume="parts", evaluate=False, registry=registry, device="cpu", workers=1
    )
    assert weights(resumed) == weights(whole)


@pytest.mark.parametrize("method", ["simclr", "dino", "mae"])
def test_boxes_of_originals_are_the_same_in_threads_and_in_processes(registry, paths, method):
    settings = paths["zipped"] | {"image_size": 16}
    runs = [
        train(registry, "zipped", settings, f"run-{workers}", method, workers=workers)
        for workers in (None, 0, 2)
    ]
    assert len({weights(run) for run in runs}) == 1
    squares = train(registry, "zipped", settings, "squares", method, data={"cache": "decoded"})
    # Crops of the square see less of the photo.
    assert weights(squares) != weights(runs[0])


def test_the_range_of_deep_images_is_found_told_and_recorded(registry, paths, console):
    run = train(registry, "deep-noise", {}, "run", console=console)
    assert run.config()["data"]["range"] == [0.0, 4095.0]
    said = console.file.getvalue()
    assert "values from 0 to 4095 become 0 to 1" in said
    given = train(registry, "deep-noise", {}, "given", data={"range": [0, 8191]})
    assert given.config()["data"]["range"] == [0.0, 8191.0]
    assert weights(given) != weights(run)


def test_mean_and_standard_deviation_come_from_the_data_where_that_is_set(registry, console):
    run = train(registry, "deep-noise", {}, "run", data={"statistics": True}, console=console)
    augmentation = run.config()["augmentation"]
    assert augmentation["mean"] == pytest.approx([0.5] * 4, abs=0.02)
    assert augmentation["std"] == pytest.approx([1 / 12**0.5] * 4, abs=0.02)
    assert "views are normalised by the training images" in console.file.getvalue()


class Vanishing(data_plugin.Cells):
    """Cells that can't be read any more after a while."""

    seen = 0

    def read(self, rows):
        Vanishing.seen += len(rows)
        if Vanishing.seen > 200:
            raise OSError("the microscope does not answer")
        return super().read(rows)


def test_a_source_that_fails_in_training_is_one_line_and_nothing_is_lost(registry, add):
    data = sslcore.Data(
        train=sslcore.Split(Vanishing(0, 32)), test=sslcore.Split(data_plugin.Cells(32, 8))
    )
    Vanishing.seen = 0
    with pytest.raises(TrainingError, match="the microscope does not answer") as caught:
        sslcore.train(
            "simclr",
            data=data,
            encoder="small-cnn",
            settings={"training": QUICK | {"epochs": 50}, "data": {"cache": "none"}},
            output="run",
            evaluate=False,
            device="cpu",
        )
    assert "\n" not in str(caught.value)
    assert list(Path("run", "checkpoint").iterdir())


def test_channels_that_can_not_be_reconciled_are_refused(registry):
    sizes = torch.zeros(4, 13, 8, 8, dtype=torch.int16), torch.zeros(4, 8, 8, 3, dtype=torch.int16)
    data = sslcore.Data(train=sslcore.Split(sizes[0]), test=sslcore.Split(sizes[1]))
    with pytest.raises(DataError, match="it has 8 channels, and 13 are needed"):
        train(registry, data, {}, "run")


def test_images_of_8_and_of_12_bits_resume_with_a_range_each(registry, tmp_path, console):
    draw = np.random.default_rng(0)
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number in range(24):
        deep = draw.integers(0, 4096, (16, 16), dtype=np.uint16)
        pixels = deep if number % 2 else (deep >> 4).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    whole = train(registry, str(folder), {}, "whole", console=console)
    assert "the images differ in their type of values" in " ".join(console.file.getvalue().split())
    with pytest.raises(sslcore.errors.InterruptedRun):
        train(registry, str(folder), {}, "parts", time_limit=0)
    resumed = sslcore.train(resume="parts", evaluate=False, registry=registry, device="cpu")
    assert weights(resumed) == weights(whole)


def test_grey_images_turned_into_colour_are_told(registry, console):
    run = train(registry, "digits", {}, "run", data={"channels": 3}, console=console)
    assert run.shape().channels == 3
    assert "grey images are turned into colour (data.channels=3)" in console.file.getvalue()
