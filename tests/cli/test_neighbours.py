"""`sslcore search` and `sslcore dedupe`: similar images, and planted near-duplicates."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sslcore
import sslcore.cli
from sslcore.data import Split
from sslcore.errors import UsageError
from sslcore.evaluation import duplicates, evaluate
from sslcore.evaluation.duplicates import find_duplicates

SETTINGS = {
    "training": {"epochs": 1, "batch_size": 16, "precision": "fp32"},
    "encoder": {"widths": [8, 16]},
}
CPU = torch.device("cpu")
#: Images with a planted copy of each kind.
PLANTED = 6


def _smooth(generator, size):
    """A random image as smooth as a photo is."""
    coarse = torch.rand((1, 3, 6, 6), generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    return Image.fromarray((fine[0] * 255).byte().movedim(0, -1).numpy())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """80 images in two classes, six of them with a JPEG copy and a resized one."""
    folder = tmp_path_factory.mktemp("home") / "photos"
    generator = torch.Generator().manual_seed(0)
    for number in range(80):
        place = folder / ("ant" if number % 2 else "bee")
        place.mkdir(parents=True, exist_ok=True)
        image = _smooth(generator, 24)
        image.save(place / f"{number:02}.png")
        if number < PLANTED:
            image.save(place / f"{number:02}-jpeg.jpg", quality=90)
            image.resize((48, 48), Image.Resampling.BICUBIC).save(place / f"{number:02}-large.png")
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    return sslcore.train(
        method="simclr",
        data=str(folder),
        encoder="conv-encoder",
        settings={**SETTINGS, "data": {"image_size": 24}},
        evaluate=False,
        report=False,
        output=tmp_path_factory.mktemp("runs") / "run",
    )


@pytest.fixture
def here():
    """The working folder, which is empty."""
    return Path.cwd()


def _groups(found):
    return [{Path(each.name).stem for each in group} for group in found.groups]


@pytest.mark.parametrize("batch", [1024, 7])
def test_the_nearest_images_are_those_of_the_highest_cosine(run, folder, batch, monkeypatch):
    monkeypatch.setattr(evaluate, "batch_size", lambda split: batch)
    found = sslcore.search(run.path, folder / "ant/01.png", top=7)
    vectors = np.load(sslcore.embed(run.path, output=run.path / "features.npy"))
    index = list(csv.DictReader((run.path / "features.csv").open(encoding="utf-8", newline="")))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    (query,) = [row for row, each in enumerate(index) if each["name"].endswith("01.png")]
    cosines = vectors @ vectors[query]
    expected = np.argsort(-cosines, kind="stable")[:7]
    assert [near.name for near in found.nearest] == [index[row]["name"] for row in expected]
    assert [near.label for near in found.nearest] == [index[row]["label"] for row in expected]
    assert [near.similarity for near in found.nearest] == pytest.approx(cosines[expected], abs=1e-5)


def test_the_image_itself_is_marked_and_no_other(run, folder):
    found = sslcore.search(run.path, folder / "bee/00.png").nearest
    assert [Path(near.name).name for near in found if near.same] == ["00.png"]
    assert {Path(near.name).stem for near in found[:3]} == {"00", "00-jpeg", "00-large"}


def test_search_lists_and_draws(run, folder, here, capsys):
    image = str(folder / "bee/00.png")
    assert sslcore.cli.run(["search", str(run.path), image, "--top", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "similarity", "label", "image"]
    assert "1.000" in lines[1]
    assert "(same image)" in lines[1]
    assert len(lines) == 5
    assert lines[-1] == "nearest.png"
    with Image.open(here / "nearest.png") as picture:
        assert picture.width > 400


def test_search_prints_and_writes_the_same_list(run, folder, here, capsys):
    command = ["search", str(run.path), str(folder / "bee/00.png"), "--split", "test", "--top", "4"]
    assert sslcore.cli.run([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [near["rank"] for near in printed] == [1, 2, 3, 4]
    assert {near["split"] for near in printed} == {"test"}
    assert not list(here.iterdir()), "with --json, no picture is written unasked"
    assert sslcore.cli.run([*command, "-o", "list.json"]) == 0
    assert json.loads((here / "list.json").read_text(encoding="utf-8")) == printed
    assert sslcore.cli.run([*command, "-o", "list.csv"]) == 0
    rows = list(csv.DictReader(io.StringIO((here / "list.csv").read_text(encoding="utf-8"))))
    assert [row["name"] for row in rows] == [near["name"] for near in printed]


@pytest.mark.parametrize("block", [2048, 16])
def test_planted_copies_are_found_and_nothing_else(run, block, monkeypatch):
    monkeypatch.setattr(duplicates, "BLOCK", block)
    found = sslcore.dedupe(run.path)
    planted = [
        {f"{number:02}", f"{number:02}-jpeg", f"{number:02}-large"} for number in range(PLANTED)
    ]
    assert sorted(_groups(found), key=min) == planted
    highest = [max(each.similarity for each in group) for group in found.groups]
    assert highest == sorted(highest, reverse=True)
    assert 0.9 <= min(each.similarity for group in found.groups for each in group) <= 1


class _Given:
    """Gives the vectors whose numbers the images have as pixels."""

    def __init__(self, vectors):
        self.vectors = torch.as_tensor(vectors, dtype=torch.float32)
        images = torch.arange(len(self.vectors), dtype=torch.uint8).view(-1, 1, 1, 1)
        self.splits = {"train": Split(images)}

    def __call__(self, images):
        return self.vectors[images.flatten().long()]

    def rows(self, above):
        found = find_duplicates(self, self.splits, (), above=above, device=CPU)
        return [[each.row for each in group] for group in found]


def test_a_common_offset_and_the_scales_of_the_axes_do_not_count():
    """Their raw cosines are all above 0.999."""
    vectors = torch.randn((200, 32), generator=torch.Generator().manual_seed(0))
    vectors[150] = vectors[20] + 0.01
    vectors[7] = vectors[3] - 0.01
    scales = torch.tensor([10.0, *[1.0] * 31])
    for offset, scale in ((0, 1), (1000, 1), (0, scales), (1000, scales)):
        assert sorted(_Given(offset + vectors * scale).rows(0.9)) == [[3, 7], [20, 150]]


def test_a_chain_of_similar_pairs_is_one_group_across_blocks(monkeypatch):
    monkeypatch.setattr(duplicates, "BLOCK", 8)
    turns = torch.linspace(0, 2 * torch.pi, 61)[:60]
    circle = torch.stack((turns.cos(), turns.sin()), 1)
    step = float(torch.cos(turns[1]))
    assert _Given(circle).rows(step - 1e-3) == [list(range(60))]
    assert _Given(circle).rows(step + 1e-3) == []


def test_equal_images_are_found_at_a_similarity_of_one():
    vectors = torch.randn((50, 8), generator=torch.Generator().manual_seed(0))
    vectors[40] = vectors[2]
    assert _Given(vectors).rows(1.0) == [[2, 40]]


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (torch.ones(9, 4), "the encoder has collapsed"),
        (torch.full((9, 4), torch.nan), "not finite"),
        (torch.ones(1, 4), "at least 2"),
    ],
)
def test_features_that_tell_nothing_are_refused(vectors, said):
    with pytest.raises(UsageError, match=said):
        _Given(vectors).rows(0.9)


def test_dedupe_prints_and_writes_the_same_groups(run, here, capsys):
    command = ["dedupe", str(run.path)]
    assert sslcore.cli.run([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == sslcore.dedupe(run.path).records()
    assert [each["group"] for each in printed] == [1 + row // 3 for row in range(3 * PLANTED)]
    assert sslcore.cli.run([*command, "-o", "groups.csv"]) == 0
    assert f"{3 * PLANTED} images in {PLANTED} groups" in capsys.readouterr().out
    rows = list(csv.DictReader((here / "groups.csv").open(encoding="utf-8", newline="")))
    assert [row["name"] for row in rows] == [each["name"] for each in printed]
    assert sslcore.cli.run([*command, "-o", "groups.png"]) == 0
    with Image.open(here / "groups.png") as picture:
        assert picture.height > PLANTED * 72


def test_where_there_are_none_dedupe_says_so(run, photos, here, capsys):
    other = photos({"": 30}, size=24, name="others")
    command = ["dedupe", str(run.path), "--data", str(other), "--above", "0.999"]
    assert sslcore.cli.run([*command, "-o", "groups.csv"]) == 0
    assert "no near-duplicates" in capsys.readouterr().out
    header = (here / "groups.csv").read_text(encoding="utf-8")
    assert header == "group,similarity,split,name,label\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "RUN", "nowhere.png"], "nowhere.png"),
        (["search", "RUN", "FOLDER"], "is a folder; name one image"),
        (["search", "RUN", "IMAGE", "-o", "near.txt"], "must end in .png, .csv or .json"),
        (["search", "RUN", "IMAGE", "-o", "nowhere/near.png"], "a file in a folder that exists"),
        (
            ["search", "RUN", "IMAGE", "--data", "digits", "--set", "data.channels=1"],
            "the run was trained on",
        ),
        (["search", "RUN", "IMAGE", "--top", "0"], "--top"),
        (["dedupe", "RUN", "-o", "groups.txt"], "must end in .png, .csv or .json"),
        (["dedupe", "RUN", "--above", "1.5"], "--above"),
        (["dedupe", "RUN", "--data", "nowhere"], "no file or folder"),
    ],
)
def test_bad_input_is_one_line(run, folder, here, arguments, said, capsys):
    named = {"RUN": run.path, "FOLDER": folder, "IMAGE": folder / "ant/01.png"}
    assert sslcore.cli.run([str(named.get(word, word)) for word in arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not list(here.iterdir())
