"""Bad input gets one clear message, exit code 2, no traceback, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy
import pytest
from PIL import Image

import sslcore.cli
from sslcore.runs.folder import Run

QUICK = ["--epochs", "1", "--batch-size", "16", "--precision", "fp32", "--no-evaluate"]
QUICK += ["--set", "encoder.widths=4,8"]
AUTOENCODER = ["train", "--method", "autoencoder"]


def _images(folder: Path, count: int, size=(12, 12), mode="RGB") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    generator = numpy.random.default_rng(0)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    for number in range(count):
        pixels = generator.integers(0, 256, shape, dtype=numpy.uint8)
        Image.fromarray(pixels, mode).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train"], "no method is given: use --method NAME, one of"),
        (["train", "--method", "simcrl"], "no method is called 'simcrl'; nearest: simclr"),
        ([*AUTOENCODER, "--encoder", "resnet81"], "nearest: resnet18"),
        ([*AUTOENCODER, "--loss", "msee"], "nearest: mse"),
        ([*AUTOENCODER, "--head", "projektion"], "nearest: projection"),
        ([*AUTOENCODER, "--augmentation", "cutuot"], "nearest: cutout"),
        ([*AUTOENCODER, "--evaluator", "linear"], "nearest: linear-probe"),
        ([*AUTOENCODER, "--data", "digit"], "nearest: digits"),
        ([*AUTOENCODER, "--data", "./nowhere"], "nowhere"),
        ([*AUTOENCODER, "--set", "encoder.width=3"], "no such setting; nearest: widths"),
        ([*AUTOENCODER, "--set", "encodr.widths=3"], "no such section; nearest: encoder"),
        ([*AUTOENCODER, "--set", "widths"], "expected SECTION.NAME=VALUE"),
        ([*AUTOENCODER, "--set", "head.feature_dim=3"], "the engine supplies it"),
        ([*AUTOENCODER, "--set", "optimizer.name=Adamm"], "nearest: adam"),
        ([*AUTOENCODER, "--set", "optimizer.lr=0"], "optimizer.lr: expected a number > 0, got 0"),
        (
            [*AUTOENCODER, "--epochs", "0"],
            "training.epochs: expected an integer from 1 to 1000000, got 0",
        ),
        ([*AUTOENCODER, "--epochs", "many"], "many"),
        ([*AUTOENCODER, "--precision", "fp8"], "one of 'auto', 'fp32', 'bf16', 'fp16'"),
        ([*AUTOENCODER, "--device", "tpu"], "expected auto, cpu, cuda, cuda:N or mps"),
        ([*AUTOENCODER, "--config", "none.toml"], "--config none.toml: can't be read"),
        ([*AUTOENCODER, "--batch-size", "5000"], "5000 is larger than the 1347 training images"),
        ([*AUTOENCODER, "--loss", "nt-xent"], "loss nt-xent (from sslcore"),
        ([*AUTOENCODER, "--head", "none"], "loss mse (from sslcore"),
        ([*AUTOENCODER, "--data", "moving-digits"], "takes single images, and the data has clips"),
        ([*AUTOENCODER, "--augmentation", "frames"], "takes clips, and the data has single images"),
        (["train", "--resume", "nowhere"], "nowhere is not there"),
        (["evaluate", "nowhere"], "nowhere is not there"),
        (["evaluate"], "Missing argument"),
        (["methods", "simcrl"], "nearest: simclr"),
        (["components", "lozs"], "nearest: loss"),
        (["components", "loss", "nt-xnt"], "nearest: nt-xent"),
        (["trian"], "trian"),
        (["train", "--methd", "simclr"], "--methd"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_named_with_what_to_do(arguments, said, sslcore_cli):
    code, out, err = sslcore_cli(*arguments)
    assert code == 2, err
    assert said in err
    assert out == ""
    assert list(Path().iterdir()) == []


def test_all_bad_settings_are_reported_at_once(sslcore_cli):
    code, _, err = sslcore_cli(
        "train",
        "--method",
        "simclr",
        *("--set", "loss.temperature=hot"),
        *("--set", "head.hidden=0"),
        *("--set", "optimizer.momentum=-1"),
        *("--set", "training.epochs=x"),
        *("--set", "augmentation.flip=2"),
        *("--set", "encoder.nothing=1"),
    )
    assert code == 2
    expected = "loss.temperature: expected a number > 0, got 'hot' (nt-xent, from sslcore"
    for said in (
        expected,
        "head.hidden",
        "optimizer.momentum",
        "training.epochs",
        "augmentation.flip",
        "encoder.nothing",
    ):
        assert said in err


def test_cuda_without_a_device_is_refused(sslcore_cli, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = sslcore_cli(*AUTOENCODER, "--device", "cuda")
    assert code == 2
    assert "no CUDA device is available here; use --device cpu" in err


def test_an_empty_folder_and_one_without_images_are_refused(sslcore_cli, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no image")
    for name in ("empty", "texts"):
        code, _, err = sslcore_cli(*AUTOENCODER, "--data", tmp_path / name)
        assert code == 2
        assert str(tmp_path / name) in err


def test_a_single_image_is_refused(sslcore_cli, tmp_path):
    code, _, err = sslcore_cli(*AUTOENCODER, "--data", _images(tmp_path / "one", 1))
    assert code == 2
    assert "1 image" in err


def test_a_corrupt_image_is_named_and_the_rest_is_trained_on(sslcore_cli, tmp_path):
    folder = _images(tmp_path / "photos", 40)
    (folder / "broken.png").write_bytes(b"\x89PNG not really")
    code, _, err = sslcore_cli(*AUTOENCODER, "--data", folder, *QUICK)
    assert code == 0, err
    assert "broken.png" in err


def test_a_folder_of_images_without_labels_trains_and_leaves_out_what_needs_labels(
    sslcore_cli, tmp_path
):
    folder = _images(tmp_path / "photos", 60)
    code, out, err = sslcore_cli(
        *AUTOENCODER, "--data", folder, "--output", "run", *QUICK[:-3], *QUICK[-2:]
    )
    assert code == 0, err
    assert "reconstruction_mse" in out
    assert "there are no labels, so these evaluators are left out: linear-probe, knn" in err
    code, _, err = sslcore_cli("evaluate", "run", "--evaluator", "knn")
    assert code == 2
    assert "class folders are labels" in err


def test_grey_images_are_read_in_the_form_of_a_run_on_colour(sslcore_cli, tmp_path):
    colour = _images(tmp_path / "colour", 40)
    grey = _images(tmp_path / "grey", 40, mode="L")
    assert sslcore_cli(*AUTOENCODER, "--data", colour, "--output", "run", *QUICK)[0] == 0
    for data in ("digits", grey):
        code, _, err = sslcore_cli("evaluate", "run", "--data", data)
        assert code == 0, err
        assert "grey images are turned into colour" in " ".join(err.split())


def test_pretrained_weights_for_grey_images_are_refused(sslcore_cli):
    code, _, err = sslcore_cli(
        *("train", "--method", "simclr", "--encoder", "resnet18"),
        *("--set", "encoder.weights=DEFAULT", "--set", "encoder.stem=imagenet"),
    )
    assert code == 2
    assert "encoder resnet18" in err
    assert "3 channels" in err or "three channels" in err


def test_an_output_folder_that_exists_is_left_alone(sslcore_cli):
    assert sslcore_cli(*AUTOENCODER, "--output", "run", *QUICK)[0] == 0
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    code, _, err = sslcore_cli(*AUTOENCODER, "--output", "run", *QUICK)
    assert code == 2
    assert "run exists already; go on with it: --resume run; or choose another --output" in err
    assert before == {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}


def test_an_output_folder_that_cannot_be_made_is_refused(sslcore_cli):
    Path("file").write_text("in the way")
    code, _, err = sslcore_cli(*AUTOENCODER, "--output", "file/run", *QUICK)
    assert code == 2
    assert "file/run can't be created" in err


def test_a_full_disk_keeps_the_checkpoint_before(sslcore_cli, monkeypatch):
    fsync, written = os.fsync, []

    def full(descriptor):
        written.append(descriptor)
        # The first checkpoint (file and folder) is written after recipe and metrics.
        if len(written) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        code, _, err = sslcore_cli(
            *AUTOENCODER, "--output", "run", *QUICK, "--set", "training.checkpoint_every=5"
        )
    assert code == 1
    assert "No space left on device" in err
    assert "sslcore train --resume run" in err
    files = sorted(path.name for path in Run("run").checkpoints.iterdir())
    assert files
    assert not any(name.endswith(".part") for name in files)
    assert sslcore_cli("train", "--resume", "run", "--no-evaluate")[0] == 0


def test_a_disk_that_is_full_from_the_beginning_leaves_no_folder(sslcore_cli, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    code, _, err = sslcore_cli(*AUTOENCODER, "--output", "run", *QUICK)
    assert code == 1
    assert "No space left on device" in err
    assert not Path("run").exists()


def test_a_disk_that_is_full_at_the_evaluation_keeps_the_encoder(sslcore_cli, monkeypatch):
    assert sslcore_cli(*AUTOENCODER, "--output", "run", *QUICK)[0] == 0

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        code, _, err = sslcore_cli("evaluate", "run")
    assert code == 1
    assert "No space left on device" in err
    assert sslcore_cli("evaluate", "run")[0] == 0


def test_data_that_must_be_fetched_says_what_to_do_without_a_network(sslcore_cli, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    code, _, err = sslcore_cli("train", "--method", "simclr", "--data", "cifar10")
    assert code == 2
    assert "cifar10" in err
    assert "data.root" in err


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(sslcore_cli):
    code, _, err = sslcore_cli(
        *("train", "--method", "simclr", "--output", "run", "--precision", "fp32"),
        *("--set", "optimizer.lr=1e30", "--set", "encoder.widths=4,8", "--no-evaluate"),
    )
    assert code == 1
    assert "is not finite at step" in err
    assert "--set optimizer.lr=" in err


def test_several_processes_are_refused(sslcore_cli, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    code, _, err = sslcore_cli(*AUTOENCODER)
    assert code == 2
    assert "the 4 processes of this run can't connect" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loss = 3", "loss: expected a section [loss], got 3"),
        ("evaluators = ['knn']", "evaluators: expected a section [evaluators]"),
        ("[evaluators]\nknn = 3", "expected a section [evaluators.knn], got 3"),
        ("[loss]\nname = 3", "no loss is called '3'"),
        ("[los]\ntemperature = 3", "[los]: no such section; nearest: loss"),
        ("not toml", "not TOML"),
        ("[optimizer]\nlr = inf", "optimizer.lr: expected a number > 0, finite, got inf"),
    ],
)
def test_a_malformed_configuration_file_is_refused(text, said, sslcore_cli):
    Path("config.toml").write_text(text)
    code, _, err = sslcore_cli("train", "--method", "simclr", "--config", "config.toml")
    assert code == 2
    assert said in err


def test_what_only_the_optimizer_knows_to_be_wrong_is_a_usage_error(sslcore_cli):
    code, _, err = sslcore_cli(
        *AUTOENCODER, *QUICK, "--set", "optimizer.name=sgd", "--set", "optimizer.nesterov=true"
    )
    assert code == 2
    assert "Nesterov momentum requires a momentum" in err
    assert list(Path().iterdir()) == []


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(sslcore.SslcoreError):
        sslcore.cli.run(["methods", "simcrl"], debug=True)
