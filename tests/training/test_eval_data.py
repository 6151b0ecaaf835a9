"""Training on all images of one data set, evaluation on the labelled images of another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import sslcore
from sslcore.api import make_recipe
from sslcore.data import Data, Split
from sslcore.errors import DataError, RunFolderError, UsageError
from sslcore.training.opening import open_images

QUICK = {"training": {"epochs": 1, "batch_size": 16, "precision": "fp32"}}
#: Of 12 images of a class, 2 are held out.
LABELLED = {"cat": 12, "dog": 12}


def _split(count, labels=None, *, channels=1, size=12, seed=0):
    images = torch.randint(
        0,
        256,
        (count, channels, size, size),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(seed),
    )
    return Split(images, labels)


def _bright(count, *, several=False):
    """Images of two classes, dark and bright, that any encoder tells apart."""
    split = _split(count)
    labels = torch.arange(count) % 2
    images = (split.images // 4 + 190 * labels[:, None, None, None]).to(torch.uint8)
    return Split(images, torch.nn.functional.one_hot(labels).bool() if several else labels)


@pytest.fixture
def folders(photos):
    return photos({"": 40}, size=16), photos(LABELLED, size=20, name="labelled")


@pytest.fixture
def train(folders, console):
    def call(**options):
        given = {"method": "simclr", "data": str(folders[0]), "eval_data": str(folders[1])}
        given |= {"settings": QUICK, "console": console, "device": "cpu", "output": "run"}
        given |= {"encoder": "conv-encoder"}
        return sslcore.train(**{**given, **options})

    return call


def test_all_images_are_trained_on_and_the_labelled_ones_evaluated(train, folders, console):
    run = train()
    assert run.train_images() == 40
    details = run.read_details()["knn_top1"]
    assert (details["train_images"], details["test_images"]) == (20, 4)
    assert details["data"].endswith("labelled")
    said = console.file.getvalue()
    before, _ = said.split("simclr on folder: 40 images of 16 px")
    assert "labelled: they fit on 20 images, and score 4" in before
    assert f"note: {folders[1]}: images are scaled to 16 px" in before


def test_images_of_classes_are_trained_on_without_holding_any_out(train, photos):
    data = photos({"a": 20, "b": 20}, size=16, name="classes")
    assert train(data=str(data)).train_images() == 40
    assert train(data=str(data), eval_data=None, output="other").train_images() == 32


def test_the_first_line_counts_the_test_images_of_the_data(train, photos, console):
    data = photos({"a": 20, "b": 20}, size=16, name="classes")
    train(data=str(data), eval_data=None)
    said = console.file.getvalue()
    assert "on folder: 32 images of 16 px with 3 channels, 8 test images, " in said


def test_a_fraction_that_is_asked_for_is_held_out_all_the_same(train, photos):
    data = photos({"a": 20, "b": 20}, size=16, name="classes")
    settings = QUICK | {"data": {"test_fraction": 0.5}}
    assert train(data=str(data), settings=settings).train_images() == 20


def test_the_recipe_has_the_data_and_gives_the_same_run_again(train, folders, console):
    run = train()
    assert run.config()["eval_data"]["path"] == str(folders[1])
    again = sslcore.train(config=run.recipe_path, output="again", console=console, device="cpu")
    assert again.read_evaluation() == run.read_evaluation()
    assert again.config()["eval_data"] == run.config()["eval_data"]


def test_resuming_evaluating_and_reporting_open_the_same_images(train, console):
    run = train(evaluate=False)
    sslcore.train(resume=run.path, console=console, device="cpu")
    first = run.read_evaluation()
    assert first
    assert sslcore.evaluate(run.path, console=console, device="cpu") == first
    page = sslcore.report(run.path, console=console, device="cpu").read_text()
    assert "evaluated on" in page
    assert "labelled" in page


def test_the_images_have_the_form_of_the_training_images_unless_told_otherwise(train):
    # The labelled images are 20 px, those to train on 16 px.
    assert train().shape().image_size == 16
    with pytest.raises(UsageError, match=r"16 px with 3 channels, and --eval-data .* of 12 px"):
        train(settings=QUICK | {"eval_data": {"image_size": 12}}, output="other")


def test_images_of_any_data_set_get_the_form_of_the_training_images(train):
    # The digits are grey.
    run = train(eval_data="digits")
    assert run.read_details()["knn_top1"]["test_images"] == 450
    assert run.shape().channels == 3


def test_a_run_is_evaluated_on_other_images_by_either_name(train, photos, console, sslcore_cli):
    run = train()
    other = photos({"cat": 5, "dog": 5, "eel": 5}, name="others")
    table = sslcore.evaluate(run.path, eval_data=str(other), console=console, device="cpu")
    assert (run.path / "evaluation-others.json").is_file()
    assert sslcore.evaluate(run.path, data=str(other), console=console, device="cpu") == table
    code, out, err = sslcore_cli("evaluate", "run", "--eval-data", other, "--json")
    assert code == 0, err
    assert "knn_top1" in out
    with pytest.raises(UsageError, match="give one of them"):
        sslcore.evaluate(run.path, data="digits", eval_data=str(other), console=console)


def test_none_takes_the_data_for_evaluators_out_of_a_configuration(train, console):
    run = train(evaluate=False)
    request = {"config": run.recipe_path, "settings": QUICK, "console": console}
    other = sslcore.train(**request, eval_data="none", output="other", device="cpu")
    assert "eval_data" not in other.config()


def test_settings_without_data_for_evaluators_are_refused():
    with pytest.raises(UsageError, match=r"eval_data\.image_size: no data is given for evaluators"):
        make_recipe("simclr", settings={"eval_data": {"image_size": 8}})


def test_an_unknown_name_is_refused_with_the_option(sslcore_cli):
    code, _, err = sslcore_cli("train", "-m", "simclr", "--eval-data", "./nowhere", "-o", "run")
    assert code == 2
    assert "nowhere" in err


def test_clips_are_not_evaluated_on_images(sslcore_cli):
    code, _, err = sslcore_cli("train", "-m", "simclr", "--eval-data", "moving-digits")
    assert code == 2
    assert "--eval-data moving-digits has clips, and the training data images" in err


def test_the_command_prints_a_recipe_with_the_data_for_evaluators(sslcore_cli, folders):
    code, out, err = sslcore_cli(
        *("train", "-m", "simclr", "--data", folders[0], "--eval-data", folders[1]),
        *("--set", "eval_data.image_size=16", "--dry-run"),
    )
    assert code == 0, err
    assert '[eval_data]\nname = "folder"' in out
    assert "test_fraction = 0.0" in out
    assert "image_size = 16" in out


def test_a_sweep_names_data_for_evaluators(sslcore_cli, folders):
    code, out, err = sslcore_cli(
        *("train", "-m", "simclr", "--data", folders[0], "--sweep"),
        *(f"eval_data={folders[1]},digits", "--dry-run", "-o", "sweep"),
    )
    assert code == 0, err
    assert len(out.splitlines()) == 2


def test_labels_of_training_do_not_pass_for_those_of_the_other_data(train, photos, console):
    data = photos({"a": 20, "b": 10, "c": 10}, size=16, name="classes")
    run = train(data=str(data))
    assert run.read_details()["knn_top1"]["train_images"] == 20
    assert run.shape().num_classes == 2


def test_a_supervised_loss_trains_on_its_own_labels_and_is_scored_on_the_other(train, photos):
    data = photos({"ant": 10, "cat": 10, "dog": 10}, size=16, name="classes")
    run = train(method="classification", data=str(data))
    assert run.train_images() == 30
    assert run.shape().num_classes == 3
    assert run.read_details()["accuracy"]["test_images"] == 4
    with pytest.raises(UsageError, match="does not know the class ant"):
        train(method="classification", data=str(photos(LABELLED, name="few")), eval_data=str(data))


def test_a_supervised_loss_does_not_take_its_labels_from_the_other_data(train):
    with pytest.raises(UsageError, match="the loss needs labels, and the data has none"):
        train(method="classification")


def test_a_run_is_fine_tuned_on_the_images_that_its_evaluators_use(train, console):
    run = train(evaluate=False)
    tuned = sslcore.finetune(
        run.path,
        seeds=1,
        compare=False,
        settings={"training": {"epochs": 1}},
        console=console,
        device="cpu",
    )
    assert tuned.run.train_images() == 20
    assert "2 classes, with labelled images: cat 10, dog 10" in console.file.getvalue()


def test_objects_are_evaluated_on_and_asked_for_again(console):
    given = {"data": _split(32), "eval_data": (_bright(20), _bright(8))}
    options = {"settings": QUICK, "console": console, "device": "cpu", "encoder": "conv-encoder"}
    run = sslcore.train("simclr", **given, output="run", **options)
    assert run.train_images() == 32
    table = run.read_evaluation()
    assert table["pixels"]["linear_top1"] == 1.0
    with pytest.raises(RunFolderError, match=r"objects, .* data .*Split, eval_data .*; give"):
        sslcore.evaluate(run.path)
    assert sslcore.evaluate(run.path, **given, console=console, device="cpu") == table


def test_bytes_to_evaluate_on_are_not_scaled_by_the_range_of_the_training_images(photos, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "wide").mkdir()
    for number in range(8):
        wide = rng.integers(0, 4096, (16, 16), dtype=np.uint16)
        Image.fromarray(wide).save(tmp_path / "wide" / f"{number}.png")
    labelled = photos(LABELLED, size=16, channels=1)
    recipe, _ = make_recipe("simclr", data=str(tmp_path / "wide"), eval_data=str(labelled))
    alone, _ = make_recipe("simclr", data=str(labelled))

    data, _ = open_images(recipe)
    expected, _ = open_images(alone)

    rows = torch.arange(4)
    assert torch.equal(data.test.read(rows), expected.test.read(rows))


def test_data_without_a_test_split_trains_and_says_how_to_score(console):
    data = Data(_bright(32), classes=("dark", "bright"))
    options = {"settings": QUICK, "console": console, "device": "cpu", "encoder": "conv-encoder"}
    run = sslcore.train("simclr", data=data, output="run", report=True, **options)
    assert run.read_evaluation() == {}
    said = console.file.getvalue()
    assert said.count("no test images are held out, so these evaluators are left out") == 1
    assert "--eval-data names images to evaluate on" in said
    page = (run.path / "report.html").read_text()
    assert "Training images and the training images whose features are most similar" in page
    assert "no test images are held out" in page
    table = sslcore.evaluate(run.path, data=data, eval_data=(_bright(20), _bright(8)))
    assert table["pixels"]["linear_top1"] == 1.0


def test_a_test_split_without_images_is_refused():
    with pytest.raises(DataError, match="the test split has no images; give None"):
        Data(_split(4), _split(0))


@pytest.mark.parametrize(
    ("evaluators", "held_out"),
    [(["knn"], None), (["reconstruction"], 0.2), (["knn", "reconstruction"], 0.2)],
)
def test_images_without_labels_are_held_out_where_an_evaluator_scores_them(
    evaluators, held_out, folders
):
    recipe, _ = make_recipe("autoencoder", data=str(folders[0]), evaluators=evaluators)
    assert recipe.data.settings["test_fraction"] == held_out
    elsewhere, _ = make_recipe(
        "autoencoder", data=str(folders[0]), eval_data=str(folders[1]), evaluators=evaluators
    )
    assert elsewhere.data.settings["test_fraction"] == 0


def test_a_run_that_held_out_nothing_opens_all_its_images_for_any_evaluator(photos, console):
    data = photos({"": 40}, size=16)
    options = {"settings": QUICK, "console": console, "device": "cpu"}
    run = sslcore.train("autoencoder", data=str(data), evaluators=["knn"], output="run", **options)
    assert run.train_images() == 40
    # No image that was trained on passes for a test image.
    with pytest.raises(UsageError, match="no test images are held out"):
        sslcore.evaluate(run.path, evaluators=["reconstruction"], console=console, device="cpu")


def test_figures_during_training_are_those_of_the_other_data(train):
    settings = {"training": QUICK["training"] | {"evaluate_every": 1}}
    run = train(settings=settings)
    assert "trained.knn_top1" in run.metrics[-1]


def test_a_preview_needs_no_data_for_evaluators(folders, console):
    path = sslcore.preview(
        "simclr", data=str(folders[0]), eval_data="digits", console=console, device="cpu"
    )
    assert path.is_file()
