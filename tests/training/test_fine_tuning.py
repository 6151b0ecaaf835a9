"""`sslcore finetune`: a classifier on a run's encoder, beside the same training without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import sslcore
import sslcore.cli
from sslcore.api import fine_tuning as api
from sslcore.errors import InterruptedRun, UsageError
from sslcore.runs.folder import Run

SMALL = {"training": {"epochs": 1, "batch_size": 16, "precision": "fp32"}}
TUNED = {"training": {"epochs": 2, "batch_size": 8, "precision": "fp32"}}


@pytest.fixture
def parent(photos, console):
    """A run with an encoder and a teacher, on labelled photos."""
    folder = photos({"cat": 20, "cow": 20, "dog": 20}, size=16)
    return sslcore.train(
        method="byol",
        data=str(folder),
        encoder="conv-encoder",
        settings=SMALL | {"encoder": {"widths": [4, 8]}},
        evaluate=False,
        output="parent",
        console=console,
    )


@pytest.fixture
def finetune(parent, console):
    def run(**options):
        options = {"settings": TUNED, "output": "tuned", "console": console} | options
        return sslcore.finetune(options.pop("run", parent.path), **options)

    return run


def config(folder):
    return Run(folder).config()


def test_every_training_has_the_same_recipe_but_for_its_beginning(finetune):
    finetune(seeds=2)
    names = {path.name for path in Path("tuned/compared").iterdir()}
    assert names == {
        "fine-tuned-seed-1",
        *(f"{name}-seed-{seed}" for name in ("linear-probe", "from-scratch") for seed in (0, 1)),
    }
    tuned = config("tuned")
    for name in names:
        other = config(f"tuned/compared/{name}")
        for section in ("data", "augmentation", "encoder", "head", "loss", "optimizer"):
            assert other[section] == tuned[section]
        freeze, seed = other["training"].pop("freeze"), other["training"].pop("seed")
        assert freeze == ("encoder" if name.startswith("linear") else "none")
        assert seed == int(name[-1])
        assert ("init" in other) == (not name.startswith("from-scratch"))
        own = dict(tuned["training"])
        del own["freeze"], own["seed"]
        assert other["training"] == own


def test_the_encoder_begins_as_the_runs_and_the_probe_keeps_it(finetune, parent):
    finetune(seeds=1)
    theirs = parent.read_encoder()
    initial = sslcore.open_run("tuned").path / "initial.safetensors"
    from safetensors.torch import load_file

    assert all(torch.equal(load_file(initial)[name], each) for name, each in theirs.items())
    probe = Run("tuned/compared/linear-probe-seed-0").read_encoder()
    assert all(torch.equal(probe[name], each) for name, each in theirs.items())
    tuned = Run("tuned").read_encoder()
    assert not any(
        torch.equal(tuned[name], each) for name, each in theirs.items() if name.endswith("weight")
    )


def test_the_teacher_is_fine_tuned_where_it_is_asked_for(finetune, parent):
    finetune(seeds=1, compare=False, teacher=True, freeze=True)
    tuned = Run("tuned").read_encoder()
    teacher = sslcore.load_encoder(parent.path, teacher=True).encoder.state_dict()
    assert all(torch.equal(tuned[name], each) for name, each in teacher.items())


def test_a_fine_tuned_run_is_extended_and_begun_with_like_any_other(finetune, console):
    finetune(seeds=1, compare=False)
    again = sslcore.train(extend="tuned", settings=TUNED, output="longer", console=console)
    assert again.evaluation["encoder"].keys() == {"accuracy", "balanced_accuracy"}
    assert again.class_names() == ("cat", "cow", "dog")


def test_with_freeze_the_linear_probe_is_the_result(finetune):
    made = finetune(seeds=1, freeze=True)
    assert config("tuned")["training"]["freeze"] == "encoder"
    assert list(made.scores.scores) == ["linear probe", "fine-tuned", "from scratch"]


def test_a_run_that_began_with_weights_is_compared_with_these(finetune, parent, console):
    second = sslcore.train(
        method="byol",
        data=str(parent.config()["data"]["path"]),
        encoder="conv-encoder",
        settings=SMALL | {"encoder": {"widths": [4, 8]}},
        init=parent.path,
        evaluate=False,
        output="second",
        console=console,
    )
    made = finetune(run=second.path, seeds=1)
    assert "as it began" in made.scores.scores
    began = config("tuned/compared/as-it-began-seed-0")["init"]["path"]
    assert began == str(Path("second/initial.safetensors").absolute())


def test_scores_are_means_over_seeds_and_leads_are_paired_by_seed(finetune):
    made = finetune(seeds=3)
    runs = {
        "fine-tuned": [
            "tuned",
            "tuned/compared/fine-tuned-seed-1",
            "tuned/compared/fine-tuned-seed-2",
        ],
        "from scratch": [f"tuned/compared/from-scratch-seed-{seed}" for seed in range(3)],
    }
    values = {
        name: [Run(each).read_evaluation()["encoder"]["accuracy"] for each in folders]
        for name, folders in runs.items()
    }
    for name, each in values.items():
        score = made.scores.scores[name]["accuracy"]
        assert score.count == 3
        assert score.mean == pytest.approx(sum(each) / 3)
        assert score.spread == pytest.approx(torch.tensor(each).double().std().item())
    gaps = [a - b for a, b in zip(*values.values(), strict=True)]
    lead = made.scores.leads["from scratch"]["accuracy"]
    assert lead.mean == pytest.approx(sum(gaps) / 3)
    assert lead.spread == pytest.approx(torch.tensor(gaps).double().std().item())
    written = json.loads(Path("tuned/fine-tuning.json").read_text())
    assert written["leads"]["from scratch"]["accuracy"]["mean"] == pytest.approx(lead.mean)


def test_labels_are_drawn_by_the_seed_and_alike_for_all_trainings(finetune, monkeypatch):
    trained = {}
    whole = sslcore.training.session.Session.train

    def recording(self, trainer, run, *arguments, **options):
        trained[run.path.name] = sorted(self.data.train.names)
        return whole(self, trainer, run, *arguments, **options)

    monkeypatch.setattr(sslcore.training.session.Session, "train", recording)
    finetune(seeds=2, labels_per_class=3, settings={"training": {"epochs": 1}})
    assert len(trained["tuned"]) == 9
    assert trained["tuned"] == trained["linear-probe-seed-0"] == trained["from-scratch-seed-0"]
    assert trained["fine-tuned-seed-1"] == trained["linear-probe-seed-1"]
    assert trained["fine-tuned-seed-1"] != trained["tuned"]


def test_few_images_make_a_small_batch_and_many_epochs(finetune):
    finetune(seeds=1, compare=False, labels_per_class=1, settings={"optimizer": {"lr": 1e-3}})
    training = config("tuned")["training"]
    assert training["batch_size"] == 3
    assert training["epochs"] == 600


def test_views_are_normalised_as_the_run_normalised_them(console, finetune, parent):
    # An augmentation without settings for it: it maps to [-1, 1].
    other = sslcore.train(
        method="autoencoder",
        data=str(parent.config()["data"]["path"]),
        settings=SMALL,
        evaluate=False,
        output="other",
        console=console,
    )
    finetune(run=other.path, seeds=1, compare=False)
    augmentation = config("tuned")["augmentation"]
    assert augmentation["mean"] == [0.5, 0.5, 0.5]
    assert augmentation["std"] == [0.5, 0.5, 0.5]


def test_the_same_call_goes_on_where_it_was_stopped(finetune, monkeypatch):
    whole, trained = api.train_or_go_on, []

    def stopping(folder, *arguments, **options):
        if len(trained) == 2:
            raise InterruptedRun("stopped and saved after step 1 of 4; go on with: x")
        trained.append(folder.name)
        whole(folder, *arguments, **options)

    monkeypatch.setattr(api, "train_or_go_on", stopping)
    with pytest.raises(InterruptedRun, match="repeat the command with --output tuned to go on"):
        finetune(seeds=1)
    assert trained == ["tuned", "linear-probe-seed-0"]
    before = Path("tuned/encoder.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(api, "train_or_go_on", whole)
    made = finetune(seeds=1)
    assert list(made.scores.scores) == ["fine-tuned", "linear probe", "from scratch"]
    assert Path("tuned/encoder.safetensors").stat().st_mtime_ns == before


def test_another_request_does_not_go_on_in_the_same_folder(finetune):
    finetune(seeds=1, compare=False)
    with pytest.raises(UsageError, match=r"tuned has a run with other settings \(optimizer.lr"):
        finetune(seeds=1, compare=False, settings=TUNED | {"optimizer": {"lr": 0.5}})


def test_a_class_without_test_images_is_named(finetune, photos, console, tmp_path):
    folder = photos(
        {"train/cat": 6, "train/cow": 6, "test/cat": 2, "test/cow": 2}, size=16, name="some"
    )
    other = tmp_path / "some" / "train" / "dog"
    other.mkdir()
    (folder / "train/cat").glob("*")
    for path in list((folder / "train/cat").iterdir())[:3]:
        (other / path.name).write_bytes(path.read_bytes())
    finetune(data=str(folder), seeds=1, compare=False)
    assert "no test image is of the class dog" in " ".join(console.file.getvalue().split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"run": "nowhere"}, "nowhere is not there"),
        ({"data": "unlabelled"}, "the loss needs labels, and the data has none"),
        ({"data": "nowhere"}, "there is no file or folder 'nowhere'"),
        (
            {"data": "digits", "settings": TUNED | {"data": {"channels": 1}}},
            "was trained on images of 16 px with 3 channels, and the data has",
        ),
        ({"method": "simclr"}, "simclr does not classify: fine-tuning needs a loss with labels"),
        ({"method": "clasification"}, "nearest: classification"),
        ({"settings": {"encoder": {"wdiths": [4]}}}, "nearest: widths"),
        ({"settings": TUNED | {"training": {"batch_size": 4096}}}, "4096 is larger than the"),
        ({"fraction": 0.1}, "give one of them"),
        ({"seeds": 0}, "expected 1 or more, got 0"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(finetune, photos, options, said):
    if options.get("data") == "unlabelled":
        options = options | {"data": str(photos({"": 12}, size=16, name="unlabelled"))}
    with pytest.raises(UsageError) as caught:
        finetune(**({"labels_per_class": 2} | options))
    assert said in str(caught.value)
    assert not Path("tuned").exists()


def test_a_run_that_has_not_finished_is_not_fine_tuned(finetune, parent):
    (parent.path / "encoder.safetensors").unlink()
    with pytest.raises(UsageError, match="has not finished; go on with it"):
        finetune()


def test_clips_are_refused(finetune, console):
    clips = sslcore.train(
        method="cpc",
        data="moving-digits",
        settings={"training": {"epochs": 1, "batch_size": 256}},
        evaluate=False,
        output="clips",
        console=console,
    )
    with pytest.raises(UsageError, match=r"on clips of .*, and fine-tuning takes images"):
        finetune(run=clips.path)


def test_the_command_prints_the_table_and_the_path(parent, capsys):
    code = sslcore.cli.run(
        [
            *("finetune", str(parent.path), "--seeds", "2", "--epochs", "1"),
            *("--set", "training.batch_size=8", "--lr", "0.01", "-o", "tuned"),
        ]
    )
    said = capsys.readouterr()
    assert code == 0
    lines = said.out.splitlines()
    assert lines[0].split()[:2] == ["training", "accuracy"]
    for line, name in zip(lines[1:-1], ["fine-tuned", "linear probe", "from scratch"], strict=True):
        assert line.startswith(name)
    assert all("±" in line for line in lines[1:-1])
    assert lines[-1] == "tuned"
    assert config("tuned")["optimizer"]["lr"] == 0.01
