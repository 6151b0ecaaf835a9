"""`sslcore embed`: features in a file, in the order of the index."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import sslcore
import sslcore.cli
from sslcore.errors import UsageError
from sslcore.evaluation import evaluate

SETTINGS = {"training": {"epochs": 1, "batch_size": 16, "precision": "fp32"}}


@pytest.fixture
def run(photos, console):
    folder = photos({"cat": 20, "dog": 20}, size=16)
    return sslcore.train(
        method="byol",
        data=str(folder),
        encoder="conv-encoder",
        settings=SETTINGS | {"encoder": {"widths": [4, 8]}},
        evaluate=False,
        output="run",
        console=console,
    )


def _index(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("batch", [1024, 7])
def test_each_row_has_the_features_of_the_image_that_the_index_names(run, batch, monkeypatch):
    monkeypatch.setattr(evaluate, "batch_size", lambda split: batch)
    path = sslcore.embed(run.path, output="features.npy")
    vectors, rows = np.load(path), _index("features.csv")
    assert vectors.dtype == np.float32
    assert len(vectors) == len(rows) == 40
    assert [int(row["row"]) for row in rows] == list(range(40))
    encoder = sslcore.load_encoder(run.path)
    folder = Path(run.config()["data"]["path"])
    from PIL import Image

    for row in (0, 13, 39):
        pixels = np.asarray(Image.open(folder / rows[row]["name"]))
        image = torch.from_numpy(pixels.copy()).movedim(-1, 0)[None]
        assert np.allclose(vectors[row], encoder(image)[0].numpy(), atol=1e-5)
        assert rows[row]["label"] == Path(rows[row]["name"]).parts[-2]
    assert {row["split"] for row in rows} == {"train", "test"}


def test_other_images_are_embedded_by_their_path(run, photos, tmp_path, capsys):
    other = photos({"": 5}, size=24, name="others")
    command = ["embed", "run", "--data", str(other), "--split", "train", "-o", "other.npy"]
    assert sslcore.cli.run(command) == 0
    assert capsys.readouterr().out == "other.npy\n"
    assert {row["split"] for row in _index("other.csv")} == {"train"}
    assert all(row["label"] == "" for row in _index("other.csv"))
    assert len(np.load("other.npy")) == len(_index("other.csv")) == 5
    # Nothing is held out of images without classes.
    assert sslcore.cli.run([*command[:4], "--split", "test", "-o", "none.npy"]) == 2
    assert "there are no images in the split test" in capsys.readouterr().err


def test_the_teacher_has_other_features(run):
    own = np.load(sslcore.embed(run.path, output="own.npy"))
    teacher = np.load(sslcore.embed(run.path, output="teacher.npy", teacher=True))
    assert own.shape == teacher.shape
    assert not np.allclose(own, teacher)


def test_a_parquet_file_has_the_same_rows(run, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    monkeypatch.setattr(evaluate, "batch_size", lambda split: 7)
    vectors = np.load(sslcore.embed(run.path, output="a.npy"))
    table = parquet.read_table(sslcore.embed(run.path, output="a.parquet")).to_pydict()
    assert np.array_equal(np.array(table["vector"], dtype=np.float32), vectors)
    assert table["name"] == [row["name"] for row in _index("a.csv")]
    assert table["label"] == [row["label"] for row in _index("a.csv")]


def test_what_fails_on_the_way_leaves_the_earlier_file(run, monkeypatch):
    path = sslcore.embed(run.path, output="features.npy")
    before = path.read_bytes(), Path("features.csv").read_bytes()
    monkeypatch.setattr(evaluate, "batch_size", lambda split: 7)

    def stop(done):
        if done > 10:
            raise KeyboardInterrupt

    monkeypatch.setattr("rich.progress.Progress.update", lambda *_, completed: stop(completed))
    with pytest.raises(KeyboardInterrupt):
        sslcore.embed(run.path, output="features.npy", split="train")
    assert (path.read_bytes(), Path("features.csv").read_bytes()) == before
    assert sorted(each.name for each in Path().glob("*features*")) == [
        *("features.csv", "features.npy"),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "features.txt"], "must end in .npy or .parquet"),
        (["-o", "nowhere/features.npy"], "must be a file in a folder that exists"),
        (["-o", "a.npy", "--data", "nowhere"], "no file or folder"),
        (["-o", "a.npy", "--data", "moving-digits"], "takes single images"),
        (["-o", "a.npy", "--data", "digits", "--set", "data.channels=1"], "the run was trained on"),
        (["-o", "a.npy", "--set", "loss.temperature=1"], "only settings of the section data"),
        (["-o", "a.parquet"], "pip install 'sslcore[parquet]'"),
    ],
)
def test_bad_input_is_one_line(run, arguments, said, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert sslcore.cli.run(["embed", "run", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_grey_images_are_opened_in_the_channels_of_the_run(run, photos):
    grey = photos({"": 5}, size=24, channels=1, name="grey")
    assert len(np.load(sslcore.embed(run.path, output="grey.npy", data=str(grey)))) == 5


def test_images_elsewhere_are_named_or_have_a_path(run, photos):
    other = photos({"cat": 3}, size=16, name="other")
    by_path = np.load(sslcore.embed(run.path, output="path.npy", data=other))
    by_text = np.load(sslcore.embed(run.path, output="text.npy", data=str(other)))
    assert (by_path == by_text).all()
    with pytest.raises(UsageError, match="a name or a path, got an object of Tensor; load_encoder"):
        sslcore.embed(run.path, output="object.npy", data=torch.zeros(2, 3, 16, 16))
    assert not Path("object.npy").exists()
