"""Several labels an image, and images whose class is not known."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

import sslcore
from sslcore.data import Data, Split
from sslcore.data.labelled import labelled, with_classes
from sslcore.data.labels import class_of
from sslcore.data.sample import sample
from sslcore.errors import DataError, UsageError

QUICK = {"training": {"epochs": 1, "batch_size": 16, "precision": "fp32"}}


def _images(count, seed=0):
    """Images (N, 1, 8, 8) whose left half is bright for class 0, and right half for class 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.rand(count, 2, generator=generator) < 0.5
    labels[:4] = torch.tensor([[True, False], [False, True], [True, True], [False, False]])
    images = torch.randint(0, 60, (count, 1, 8, 8), generator=generator)
    images[:, :, :, :4] += 190 * labels[:, 0, None, None, None]
    images[:, :, :, 4:] += 190 * labels[:, 1, None, None, None]
    return images.to(torch.uint8), labels


def _several(train=40, test=20):
    splits = [Split(*_images(count, seed)) for seed, count in enumerate((train, test))]
    return Data(*splits, classes=("left", "right"))


@pytest.fixture
def train(console):
    def call(data, method="simclr", **options):
        given = {"settings": QUICK, "console": console, "device": "cpu", "output": "run"}
        return sslcore.train(method, data=data, encoder="conv-encoder", **{**given, **options})

    return call


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (torch.zeros(3), r"must be int64 .*got torch.float32 of shape \(3,\); .*labels.long\(\)"),
        (torch.zeros(3, dtype=torch.int32), r"got torch.int32 .*labels.long\(\)"),
        (torch.zeros(3, 2), r"got torch.float32 of shape \(3, 2\); .*labels.bool\(\)"),
        (torch.full((3, 2), 0.5), r"got torch.float32 of shape \(3, 2\)$"),
        (torch.zeros(3, dtype=torch.bool), r"got torch.bool of shape \(3,\)$"),
        (torch.zeros(3, 0, dtype=torch.bool), "name no class"),
        (torch.zeros(4, 2, dtype=torch.bool), r"3 images but labels of shape \(4, 2\)"),
        (torch.tensor([0, -2, 1]), "label 1 is -2; classes count from 0"),
    ],
)
def test_labels_of_another_form_are_refused_in_one_line(labels, said):
    with pytest.raises(DataError, match=said) as refused:
        Split(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), labels)
    assert len(str(refused.value).splitlines()) == 1


def test_labels_that_are_all_unknown_are_none():
    assert Split(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.full((3,), -1)).labels is None


def test_several_labels_are_scored_by_mean_average_precision(train, console):
    run = train(_several(), evaluators=["knn", "linear-probe"])
    table = run.read_evaluation()
    assert list(table["encoder"]) == ["knn_map", "linear_map"]
    assert table["pixels"]["linear_map"] == 1.0
    assert run.read_details()["linear_map"]["test_images"] == 20


def test_evaluators_of_one_label_are_left_out_with_one_note(train, registry, console):
    evaluators = ["knn", "nearest-mean", "retrieval"]
    run = train(_several(), registry=registry, evaluators=evaluators)
    assert list(run.read_evaluation()["encoder"]) == ["knn_map"]
    said = console.file.getvalue()
    assert said.count("the images have several labels each, so these evaluators are left out") == 1
    assert "left out: nearest-mean, retrieval; an evaluator whose class has several_labels" in said


def test_the_report_names_the_classes_and_draws_no_confusion(train):
    run = train(_several(), report=True)
    page = (run.path / "report.html").read_text()
    assert "the images have several labels each" in page
    assert {"neighbours.png", "map.png"} <= {each.name for each in (run.path / "figures").iterdir()}
    assert "confusion.png" not in {each.name for each in (run.path / "figures").iterdir()}
    assert "could not be drawn" not in page


def test_a_supervised_loss_refuses_several_labels(train):
    with pytest.raises(UsageError, match="one label for each image, and these images have several"):
        train(_several(), method="classification")


def test_a_data_set_of_torch_gives_several_labels_as_bool_tensors(train):
    images, labels = _images(60)
    run = train(list(zip(images, labels, strict=True)))
    assert set(run.read_evaluation()["encoder"]) == {"knn_map", "linear_map"}
    with pytest.raises(UsageError, match="give each item a bool tensor"):
        train([(images[0], labels[0]), (images[1], labels[1][:1])], output="other")


def test_figures_during_training_take_several_labels(train):
    run = train(_several(), settings={"training": QUICK["training"] | {"evaluate_every": 1}})
    assert "trained.knn_map" in run.metrics[-1]


def _partly(count, known, seed=0):
    images, labels = _images(count, seed)
    numbers = labels[:, 0].long()
    numbers[known:] = -1
    return Split(images, numbers)


def test_images_whose_class_is_not_known_are_trained_on_and_not_scored(train, console):
    data = Data(_partly(60, 30), _partly(30, 20, seed=1), classes=("off", "on"))
    run = train(data)
    assert run.train_images() == 60
    details = run.read_details()["knn_top1"]
    assert (details["train_images"], details["test_images"]) == (30, 20)
    assert run.read_evaluation()["pixels"]["linear_top1"] == 1.0
    tuned = train(data, method="classification", output="tuned")
    assert tuned.train_images() == 30


def test_few_labels_are_drawn_of_images_whose_class_is_known():
    data = Data(_partly(60, 30), _partly(30, 20), classes=("off", "on"))
    assert labelled(data, per_class=5).train.labels.bincount().tolist() == [5, 5]
    assert int(labelled(data).train.labels.min()) == 0


def test_a_sample_of_images_has_labels_where_some_are_known():
    found = sample(_partly(60, 30), 10)
    assert len(found) == 10
    assert int(found.labels.min()) == 0
    assert len(sample(Split(_images(60)[0]), 10)) == 10


def test_labels_get_the_numbers_of_a_classifier():
    several = with_classes(_several(), ("right", "up", "left")).test.labels
    wanted = _several().test.labels
    assert torch.equal(several[:, [2, 0]], wanted)
    assert not several[:, 1].any()
    one = with_classes(
        Data(_partly(20, 10), classes=("off", "on")), ("on", "off", "other")
    ).train.labels
    assert torch.equal(one[:10], 1 - _partly(20, 10).labels[:10])
    assert (one[10:] == -1).all()


@pytest.mark.parametrize(
    ("labels", "row", "named"),
    [
        (None, 0, ""),
        (torch.tensor([1, -1, 5]), 0, "b"),
        (torch.tensor([1, -1, 5]), 1, ""),
        (torch.tensor([1, -1, 5]), 2, "5"),
        (torch.tensor([[True, True], [False, False]]), 0, "a, b"),
        (torch.tensor([[True, True], [False, False]]), 1, ""),
    ],
)
def test_an_image_is_named_by_its_classes(labels, row, named):
    assert class_of(labels, row, ("a", "b")) == named


def test_an_index_of_features_names_all_classes_of_an_image(photos, console, registry, add):
    run = sslcore.train(
        "simclr",
        data=str(photos({"a": 20, "b": 20}, size=8, channels=1)),
        encoder="conv-encoder",
        settings=QUICK,
        evaluate=False,
        output="run",
        console=console,
    )

    def two_labels() -> Data:
        return _several(6, 4)

    add(registry, "dataset", two_labels, name="two-labels")
    sslcore.embed(run.path, data="two-labels", output="a.npy", registry=registry, console=console)
    with Path("a.csv").open(encoding="utf-8", newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert labels[:4] == ["left", "right", "left, right", ""]
