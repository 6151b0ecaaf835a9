"""`sslcore export`: what another program loads gives the features of the run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file

import sslcore
import sslcore.cli
from sslcore.errors import SslcoreError, UsageError
from sslcore.exports import graphs
from sslcore.exports.formats import FORMATS

TRAINING = {"training": {"epochs": 1, "batch_size": 8, "precision": "fp32"}}
IMAGENET_STEM = {"encoder": {"stem": "imagenet"}}


@pytest.fixture
def trained(photos, console):
    """Train for a step or two on photos of 32 px, and return the run."""

    def run(encoder="resnet18", *, method="simclr", settings=IMAGENET_STEM, **options):
        folder = photos({"ant": 8, "bee": 8}, size=32)
        return sslcore.train(
            method=method,
            data=str(folder),
            encoder=encoder,
            settings=TRAINING | settings,
            evaluate=False,
            output="run",
            console=console,
            **options,
        )

    return run


@pytest.fixture
def images():
    return torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def close(found, expected, tolerance=1e-6):
    assert found.shape == expected.shape
    off = float((found - expected).detach().abs().max())
    return off <= tolerance * max(1.0, float(expected.abs().max()))


def features_of(run, images):
    return sslcore.load_encoder(run.path)(images)


def views_of(run, images):
    return sslcore.load_encoder(run.path).augmentation(images)["views"][0]


@pytest.mark.parametrize("name", ["torch", "safetensors"])
def test_weights_in_a_file_begin_another_run_with_equal_features(trained, images, name, console):
    run = trained()
    made = sslcore.export(run.path, format=name)
    again = sslcore.train(
        method="simclr",
        data=run.config()["data"]["path"],
        encoder="resnet18",
        settings=TRAINING | IMAGENET_STEM | {"optimizer": {"lr": 1e-30, "weight_decay": 0.0}},
        init=made.path,
        evaluate=False,
        output="again",
        console=console,
    )
    initial = load_file(again.path / "initial.safetensors")
    own = run.read_encoder()
    assert initial.keys() == own.keys()
    assert all(torch.equal(initial[each], own[each]) for each in own)


def test_files_of_weights_describe_themselves(trained):
    run = trained()
    path = sslcore.export(run.path, format="torch").path
    told = json.loads(torch.load(path, weights_only=True)["about"])
    with safe_open(sslcore.export(run.path, format="safetensors").path, "pt") as file:
        assert json.loads(file.metadata()["sslcore"]) == told
    assert told["encoder"] == "resnet18"
    assert told["feature_dim"] == 512
    assert told["image_size"] == 32


@pytest.mark.parametrize(
    ("encoder", "settings"),
    [
        ("resnet18", {}),
        ("small-cnn", {}),
        ("cnn4", {}),
        ("vit", {"encoder": {"depth": 2}}),
        ("timm", {"encoder": {"model": "vit_tiny_patch16_224"}}),
    ],
)
@pytest.mark.parametrize("name", ["onnx", "torchscript"])
def test_a_graph_computes_the_features_of_batches_of_any_size(
    trained, images, name, encoder, settings
):
    run = trained(encoder, settings=settings)
    made = sslcore.export(run.path, format=name)
    assert made.output == "features"
    for batch in (images, images[:1]):
        if name == "onnx":
            session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
            (found,) = session.run(["features"], {"images": batch.numpy()})
            found = torch.from_numpy(found)
        else:
            found = torch.jit.load(made.path)(batch)
        assert close(found, features_of(run, batch), 1e-4)


@pytest.mark.parametrize("name", ["onnx", "torchscript"])
def test_without_preprocessing_a_graph_takes_normalised_views(trained, images, name):
    run = trained("small-cnn", settings={"augmentation": {"mean": [0.4], "std": [0.2]}})
    made = sslcore.export(run.path, format=name, preprocessing=False)
    views = views_of(run, images)
    assert close(views, (images - 0.4) / 0.2)
    if name == "onnx":
        session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
        found = torch.from_numpy(session.run(None, {"images": views.numpy()})[0])
    else:
        found = torch.jit.load(made.path)(views)
    assert close(found, features_of(run, images), 1e-4)


def test_a_graph_that_computes_something_else_is_not_written(trained, monkeypatch):
    run = trained("small-cnn", settings={})
    whole = graphs._onnx_runtime  # noqa: SLF001 - what it computes is spoiled on purpose

    def spoiled(path):
        compute = whole(path)
        return lambda images: compute(images) + 1e-2

    monkeypatch.setattr(graphs, "_onnx_runtime", spoiled)
    with pytest.raises(SslcoreError, match="does not compute what the network does"):
        sslcore.export(run.path, format="onnx", output="encoder.onnx")
    assert not list(Path().glob("*encoder.onnx*"))


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_torchvision_loads_its_model_strictly_but_for_the_classifier(trained, images, ending):
    run = trained()
    path = sslcore.export(run.path, format="torchvision", output=f"weights.{ending}").path
    weights = load_file(path) if ending == "safetensors" else torch.load(path, weights_only=True)
    model = torchvision.models.resnet18()
    found = model.load_state_dict(weights, strict=False)
    assert sorted(found.missing_keys) == ["fc.bias", "fc.weight"]
    assert not found.unexpected_keys
    model.fc = torch.nn.Identity()
    assert close(model.eval()(views_of(run, images)), features_of(run, images))


@pytest.mark.parametrize(
    ("encoder", "settings", "model"),
    [
        ("resnet18", IMAGENET_STEM, "resnet18"),
        ("timm", {"encoder": {"model": "resnet10t"}}, "resnet10t"),
        ("timm", {"encoder": {"model": "vit_tiny_patch16_224"}}, "vit_tiny_patch16_224"),
    ],
)
def test_timm_loads_its_model_strictly(trained, images, encoder, settings, model):
    run = trained(encoder, settings=settings)
    made = sslcore.export(run.path, format="timm")
    size = {"img_size": 32} if model.startswith("vit") else {}
    theirs = timm.create_model(model, num_classes=0, **size)
    theirs.load_state_dict(load_file(made.path), strict=True)
    assert close(theirs.eval()(views_of(run, images)), features_of(run, images))
    assert made.load.startswith(f'model = timm.create_model("{model}"')


def test_timm_loads_the_folder_of_hugging_face(trained, images):
    run = trained(settings=IMAGENET_STEM | {"augmentation": {"mean": [0.4], "std": [0.2]}})
    path = sslcore.export(run.path, format="huggingface", output="hub").path
    assert sorted(each.name for each in path.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    model = timm.create_model(f"local-dir:{path}", pretrained=True).eval()
    data = timm.data.resolve_model_data_config(model)
    assert data["input_size"] == [3, 32, 32]
    mean, std = (torch.tensor(data[name])[:, None, None] for name in ("mean", "std"))
    assert close(model((images - mean) / std), features_of(run, images))


def test_the_model_card_has_data_method_scores_and_baselines(photos, console):
    folder = photos({"ant": 8, "bee": 8}, size=32)
    run = sslcore.train(
        method="simclr", data=str(folder), settings=TRAINING, output="run", console=console
    )
    path = sslcore.export(run.path, format="huggingface", output="hub").path
    card = (path / "README.md").read_text()
    for word in ("simclr", folder.name, "12 images", "untrained", "pixels", "knn_top1"):
        assert word in card
    # No timm model: the weights are the encoder's own.
    assert load_file(path / "model.safetensors").keys() == run.read_encoder().keys()


@pytest.fixture
def classified(trained):
    return lambda **options: trained(method="classification", **options)


def test_a_classifier_goes_into_every_format(classified, images):
    run = classified()
    classifier = sslcore.load_classifier(run.path)
    expected, views = classifier(images), views_of(run, images)
    for name in FORMATS:
        made = sslcore.export(run.path, format=name)
        assert made.output == "logits"
        if name == "onnx":
            session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
            found = torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
            told = {each.key: each.value for each in onnx.load(made.path).metadata_props}
            assert json.loads(told["classes"]) == ["ant", "bee"]
        elif name == "torchscript":
            found = torch.jit.load(made.path)(images)
        elif name == "torchvision":
            model = torchvision.models.resnet18(num_classes=2)
            model.load_state_dict(torch.load(made.path, weights_only=True), strict=True)
            found = model.eval()(views)
        elif name == "timm":
            model = timm.create_model("resnet18", num_classes=2)
            model.load_state_dict(load_file(made.path), strict=True)
            found = model.eval()(views)
        elif name == "huggingface":
            model = timm.create_model(f"local-dir:{made.path}", pretrained=True).eval()
            assert model.num_classes == 2
            config = json.loads((made.path / "config.json").read_text())
            assert config["label_names"] == ["ant", "bee"]
            found = model(views)
        else:
            found = None
            weights = (
                load_file(made.path)
                if name == "safetensors"
                else torch.load(made.path, weights_only=True)["state_dict"]
            )
            head = classifier.head.state_dict()
            assert all(torch.equal(weights[f"classifier.{each}"], head[each]) for each in head)
        if found is not None:
            assert close(found, expected, 1e-4), name


def test_the_teacher_is_exported_where_it_is_asked_for(trained, images):
    run = trained("small-cnn", method="byol", settings={})
    path = sslcore.export(run.path, format="onnx", teacher=True).path
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    assert close(found, sslcore.load_encoder(run.path, teacher=True)(images), 1e-4)
    assert not close(found, features_of(run, images), 1e-4)


def test_averages_over_views_are_inside_a_graph_and_cant_be_left_out(photos, console, images):
    run = sslcore.train(
        method="cpc",
        data=str(photos({"ant": 8, "bee": 8}, size=32)),
        settings=TRAINING,
        evaluate=False,
        output="run",
        console=console,
    )
    path = sslcore.export(run.path, format="onnx").path
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    assert close(found, features_of(run, images), 1e-4)
    with pytest.raises(UsageError, match="views of each image"):
        sslcore.export(run.path, format="onnx", preprocessing=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-f", "onx"], "'onx' is not one of"),
        (["-f", "onnx", "-o", "nowhere/encoder.onnx"], "its folder does not exist"),
        (["-f", "onnx", "-o", "encoder.pt"], "it must end in .onnx"),
        (["-f", "huggingface", "-o", "."], "exists already"),
        (["-f", "torch", "--no-preprocessing"], "torch has no preprocessing"),
        (["-f", "torchvision"], "torchvision has no model for the encoder small-cnn"),
        (["-f", "timm"], "formats that can hold it: torch, safetensors, onnx"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(trained, capsys, words, said):
    trained("small-cnn", settings={})
    before = sorted(Path().rglob("*"))
    assert sslcore.cli.run(["export", "run", *words]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert sorted(Path().rglob("*")) == before


def test_a_network_for_small_images_has_another_stem_than_the_library(trained):
    trained(settings={})
    with pytest.raises(UsageError, match=r"stem is for small images.*encoder.stem=imagenet"):
        sslcore.export("run", format="torchvision")


def test_a_missing_library_is_named_with_its_extra(trained, monkeypatch):
    trained("small-cnn", settings={})
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(
        graphs.importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else name
    )
    with pytest.raises(UsageError, match=r"needs onnxruntime: pip install 'sslcore\[onnx\]'"):
        sslcore.export("run", format="onnx")


def test_an_unfinished_run_is_not_exported(trained):
    run = trained("small-cnn", settings={})
    (run.path / "encoder.safetensors").unlink()
    with pytest.raises(UsageError, match="has not finished; go on with it"):
        sslcore.export("run", format="torch")


def test_the_command_prints_the_path_and_how_to_load_it(trained, capsys):
    trained("small-cnn", settings={})
    assert sslcore.cli.run(["export", "run", "-f", "onnx"]) == 0
    said = capsys.readouterr()
    assert said.out == "run/exports/onnx.onnx\n"
    assert 'load it with: onnxruntime.InferenceSession("run/exports/onnx.onnx")' in said.err
    onnx.checker.check_model("run/exports/onnx.onnx")


@pytest.mark.parametrize("method", ["simclr", "classification"])
def test_the_call_that_is_printed_loads_what_was_written(trained, images, method):
    run = trained(method=method)
    views = views_of(run, images)
    expected = (
        features_of(run, images)
        if method == "simclr"
        else sslcore.load_classifier(run.path)(images)
    )
    for name in FORMATS:
        made = sslcore.export(run.path, format=name)
        namespace = {
            "onnxruntime": onnxruntime,
            "safetensors": safetensors,
            "timm": timm,
            "torch": torch,
            "torchvision": torchvision,
        }
        if made.load.startswith("model = "):
            exec(made.load, namespace)
            loaded = namespace["model"]
        else:
            loaded = eval(made.load, namespace)
        if isinstance(loaded, dict):
            assert loaded["conv1.weight"].shape == (64, 3, 7, 7)
        elif isinstance(loaded, onnxruntime.InferenceSession):
            (found,) = loaded.run(None, {"images": images.numpy()})
            assert close(torch.from_numpy(found), expected, 1e-4)
        else:
            if name == "torchvision" and method == "simclr":
                loaded.fc = torch.nn.Identity()
            given = images if name == "torchscript" else views
            assert close(loaded.eval()(given), expected, 1e-4)


def test_a_folder_for_the_hub_without_a_model_of_timm_promises_none(trained):
    run = trained(settings={})
    made = sslcore.export(run.path, format="huggingface", output="hub")
    assert made.load == 'safetensors.torch.load_file("hub/model.safetensors")'
    assert json.loads((made.path / "config.json").read_text()).keys() == {"sslcore"}
    assert "timm" not in (made.path / "README.md").read_text()
    assert load_file(made.path / "model.safetensors").keys() == run.read_encoder().keys()


@pytest.mark.parametrize("name", ["timm", "huggingface"])
def test_without_timm_its_models_are_not_written(trained, monkeypatch, name):
    run = trained()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"pip install 'sslcore\[timm\]'"):
        sslcore.export(run.path, format=name)
    assert not (run.path / "exports").exists()


def test_a_head_that_is_not_linear_is_not_taken_for_one(trained):
    from sslcore.exports.exported import Exported

    run = trained(method="classification")
    classifier = sslcore.load_classifier(run.path)

    class Deep(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(512, 2)

        def forward(self, features):
            return {"logits": self.linear(features.relu()) * 2}

    exported = Exported(classifier.extractor, Deep(), ("ant", "bee"), {}, None, "", 0, ())
    assert exported.classifier() is None
    assert (
        Exported(
            classifier.extractor, classifier.head, ("ant", "bee"), {}, None, "", 0, ()
        ).classifier()
        is not None
    )


def test_exports_of_the_teacher_and_of_views_have_names_of_their_own(trained):
    trained("small-cnn", method="byol", settings={})
    sslcore.export("run", format="torchscript")
    sslcore.export("run", format="torchscript", teacher=True)
    sslcore.export("run", format="torchscript", preprocessing=False)
    assert {path.name for path in Path("run/exports").iterdir()} == {
        "torchscript.pt",
        "torchscript-teacher.pt",
        "torchscript-views.pt",
    }


def test_the_formats_of_the_command_are_those_of_the_engine():
    from sslcore.cli.export import FORMATS as offered

    assert tuple(FORMATS) == offered
