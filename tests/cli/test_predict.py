"""`sslcore predict`: classes of images, from files and folders."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sslcore
import sslcore.cli
from sslcore.api.images import open_image
from sslcore.errors import LeftOutWarning
from sslcore.registry.registry import default_registry

SETTINGS = {"training": {"epochs": 1, "batch_size": 8, "precision": "fp32"}}


@pytest.fixture
def folder(photos):
    return photos({"ant": 10, "bee": 10}, size=16, name="insects")


@pytest.fixture
def run(folder, console):
    return sslcore.train(
        method="classification",
        data=str(folder),
        settings=SETTINGS,
        evaluate=False,
        output="run",
        console=console,
    )


@pytest.fixture
def command(run, capsys):
    def predict(*words):
        code = sslcore.cli.run(["predict", str(run.path), *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return predict


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def expected(run, paths):
    """Return the probabilities that the classifier gives, image by image."""
    classifier = sslcore.load_classifier(run.path)
    images = [torch.from_numpy(np.array(Image.open(path))).movedim(-1, 0) for path in paths]
    return classifier(torch.stack(images)).softmax(1).numpy()


def test_files_and_folders_have_the_probabilities_of_the_classifier(run, folder):
    files = files_of(folder)
    found = sslcore.predict(run.path, [folder, files[3]])
    assert found.names == tuple(map(str, [*files, files[3]]))
    assert found.classes == ("ant", "bee")
    np.testing.assert_allclose(found.probabilities[:-1], expected(run, files), atol=1e-5)
    np.testing.assert_array_equal(found.probabilities[-1], found.probabilities[3])
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-5)


def test_many_images_are_read_a_part_at_a_time(run, folder, monkeypatch):
    whole = sslcore.predict(run.path, folder)
    monkeypatch.setattr("sslcore.api.images._AT_A_TIME", 7)
    parted = sslcore.predict(run.path, folder)
    assert parted.names == whole.names
    np.testing.assert_allclose(parted.probabilities, whole.probabilities, atol=1e-5)


def test_a_photo_of_any_size_and_mode_is_brought_into_the_form_of_the_run(run, tmp_path):
    wide = Image.new("L", (40, 20), 255)
    wide.paste(100, (10, 0, 30, 20))
    wide.save(tmp_path / "wide.png")
    image = open_image(run.path, tmp_path / "wide.png", default_registry()).images
    assert image.shape == (1, 3, 16, 16)
    assert image.dtype == torch.uint8
    # The middle square; next to its edges, the white sides weigh a little.
    assert (image[..., 1:-1] == 100).all()


def test_the_table_has_the_likeliest_classes_first(command, run, folder):
    path = files_of(folder)[0]
    code, out, _ = command(path, "--top", 2)
    assert code == 0
    name, first, p1, second, p2 = out.splitlines()[1].split()
    probabilities = dict(zip(("ant", "bee"), expected(run, [path])[0], strict=True))
    assert name == str(path)
    assert float(p1) >= float(p2)
    assert float(p1) == pytest.approx(probabilities[first], abs=1e-3)
    assert float(p2) == pytest.approx(probabilities[second], abs=1e-3)


def test_csv_and_json_have_every_class(command, run, folder):
    assert command(folder, "-o", "classes.csv")[1] == "classes.csv\n"
    with Path("classes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert command(folder, "-o", "classes.json")[0] == 0
    records = json.loads(Path("classes.json").read_text())
    assert json.loads(command(folder, "--json")[1]) == records
    assert len(rows) == len(records) == 20
    for row, record, values in zip(rows, records, expected(run, files_of(folder)), strict=True):
        assert row["image"] == record["image"]
        assert row["class"] == record["class"] == ("ant", "bee")[values.argmax()]
        assert float(row["bee"]) == pytest.approx(values[1], abs=1e-5)
        assert record["probabilities"]["bee"] == pytest.approx(values[1], abs=1e-5)


def test_damaged_files_in_folders_are_left_out_with_a_warning(run, folder):
    (folder / "ant" / "broken.png").write_bytes(b"no image")
    with pytest.warns(LeftOutWarning, match=r"1 files can't be read as images .*broken.png"):
        found = sslcore.predict(run.path, folder)
    assert len(found.names) == 20


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.png"], "there is no image nowhere.png"),
        (["text.png"], "text.png can't be read as an image"),
        (["empty"], "empty holds no images at any depth"),
        (["text.png", "-o", "classes.txt"], "it must end in .csv or .json"),
        (["text.png", "-o", "nowhere/classes.csv"], "it must be a file in a folder that exists"),
    ],
)
def test_bad_input_is_one_line(command, words, said):
    Path("text.png").write_text("no image")
    Path("empty").mkdir()
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_run_without_a_classifier_is_refused(folder, console, capsys):
    sslcore.train(
        method="simclr",
        data=str(folder),
        settings=SETTINGS,
        evaluate=False,
        output="other",
        console=console,
    )
    assert sslcore.cli.run(["predict", "other", str(folder)]) == 2
    assert "sslcore finetune other --data DIR" in capsys.readouterr().err
