"""Run folders that were changed, or whose plugins are not installed."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest
import torch

import sslcore
import sslcore.cli
from sslcore.api import make_recipe
from sslcore.errors import RunFolderError, UsageError
from sslcore.registry.registry import Registry
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import EVALUATION, RECIPE


@pytest.fixture
def run(tiny, registry, console):
    """A finished run of three steps, evaluated."""
    return sslcore.train(
        "agreement",
        data="noise",
        evaluators=["knn"],
        settings=tiny,
        output="run",
        registry=registry,
        console=console,
    )


def _replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


OPENERS = {
    "resume": lambda run, **options: sslcore.train(resume=run.path, **options),
    "evaluate": lambda run, **options: sslcore.evaluate(run.path, **options),
    "load_encoder": lambda run, registry, console: sslcore.load_encoder(
        run.path, registry=registry
    ),
}


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[images]", "[pictures]", r"\[images\] must have|\[pictures\]: no such section"),
        ("channels = 1", "chanels = 1", r"\[images\] must have the integers"),
        ("channels = 1", "channels = '1'", r"\[images\] must have the integers"),
        ("[encoder]", "[encoders]", r"\[encoder\] is missing or has no name"),
        ("[encoder]", "[[encoder]]", r"\[encoder\] is missing or has no name"),
        ('method = "', 'methods = "', "names no method"),
        ("[encoder]", "[encoder", "not TOML"),
        ("width = 64", "width = 'broad'", "encoder.width: expected an integer"),
    ],
)
def test_a_malformed_recipe_of_a_run_is_named(opener, old, new, said, run, registry, console):
    _replace(run.path / RECIPE, old, new)
    with pytest.raises(UsageError, match=said) as refused:
        OPENERS[opener](run, registry=registry, console=console)
    assert "run/recipe.toml" in str(refused.value)
    assert "--config" not in str(refused.value)


@pytest.mark.parametrize("text", ["3", "{", '{"encoder": 3}', '{"encoder": {"a": "b"}}', "\0"])
def test_malformed_figures_are_named_and_replaced_by_the_next_evaluation(
    text, run, registry, console
):
    (run.path / EVALUATION).write_text(text)
    with pytest.raises(RunFolderError, match=r"run/evaluation\.json is not a table of numbers"):
        run.read_evaluation()
    table = sslcore.evaluate(run.path, registry=registry, console=console)
    assert run.read_evaluation() == table
    assert "evaluation.json was not a table of numbers and has been replaced" in (
        console.file.getvalue()
    )


def test_a_figure_that_is_not_finite_is_null_in_the_file_and_comes_back(run):
    assert run.write_evaluation({"encoder": {"a": math.nan, "b": math.inf}}) == ""
    assert '"a": null' in (run.path / EVALUATION).read_text()
    assert math.isnan(run.read_evaluation()["encoder"]["a"])
    assert "knn_top1" in run.read_evaluation()["encoder"]


def test_a_run_says_in_its_repr_where_it_is(run):
    assert repr(run) == "Run('run')"


def test_evaluating_a_run_that_has_not_finished_says_so(run, registry, console):
    sslcore.evaluate(run.path, registry=registry, console=console)
    assert "has not finished" not in console.file.getvalue()
    step = load_checkpoint(run.checkpoints).step
    _replace(run.path / RECIPE, "epochs = 1", "epochs = 4")
    sslcore.evaluate(run.path, registry=registry, console=console)
    assert f"note: step {step} of 12: the run has not finished" in console.file.getvalue()


def test_resuming_a_run_that_has_finished_says_so(run, registry, console):
    assert "no step is left" not in console.file.getvalue()
    sslcore.train(resume=run.path, registry=registry, console=console)
    assert "note: run has finished: no step is left to train" in console.file.getvalue()


def _without(registry, *plugins, distribution="third-party"):
    """Everything but the named plugins."""
    kept = Registry()
    kept.plugins = [
        plugin
        for plugin in registry.plugins
        if plugin.origin.distribution != distribution
        or (plugins and plugin.origin.plugin not in plugins)
    ]
    return kept


@pytest.mark.parametrize("opener", OPENERS)
def test_a_run_whose_plugin_is_not_installed_names_the_distribution_to_install(
    opener, run, registry, console
):
    with pytest.raises(RunFolderError) as refused:
        OPENERS[opener](run, registry=_without(registry), console=console)
    said = str(refused.value)
    assert "encoder third-party:linear comes from third-party 1.0, which is not installed" in said
    assert "pip install third-party" in said
    if opener != "load_encoder":
        assert "method third-party:agreement comes from third-party 1.0, which is not" in said
        assert "dataset third-party:noise" in said


def test_a_distribution_that_no_longer_has_the_part_is_not_to_be_installed_again(
    run, registry, console
):
    lacking = _without(registry, "example_plugin")
    with pytest.raises(
        RunFolderError, match=r"the run has it from third-party 1.0, and 1.0 is"
    ) as e:
        sslcore.evaluate(run.path, registry=lacking, console=console)
    assert "pip install" not in str(e.value)


class Encoder(torch.nn.Module):
    def __init__(self, channels: int, *, width: int = 5) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(channels, width, 1)

    def forward(self, views: torch.Tensor) -> sslcore.signals.Features:
        return {"features": self.layer(views).mean((-1, -2))}


def test_loading_an_encoder_needs_no_other_part_than_augmentation_and_encoder(
    registry, add, tiny, console
):
    add(registry, "encoder", Encoder)
    tiny["encoder"] = {"width": 6}
    options = {"augmentation": "two-views", "encoder": "made-up", "evaluate": False}
    run = sslcore.train(
        "moco", data="noise", settings=tiny, registry=registry, console=console, **options
    )
    # Loss, method and data set are not installed.
    alone = _without(registry)
    encoder = sslcore.load_encoder(run.path, registry=alone)
    whole = sslcore.load_encoder(run.path, registry=registry)
    images = torch.rand(3, 1, 8, 8)
    assert encoder(images).shape == (3, 6)
    assert torch.equal(encoder(images), whole(images))


def test_showing_what_would_be_resumed_names_the_distribution_to_install(run, capsys):
    # The command line finds installed plugins only, which excludes the tests' plugins.
    code = sslcore.cli.run(["train", "--resume", "run", "--dry-run"], debug=False)
    assert code == 2
    assert "pip install third-party" in capsys.readouterr().err


def test_a_dry_run_of_a_resumed_run_refuses_what_the_run_itself_refuses(capsys):
    settings = {"training": {"epochs": 1}}
    sslcore.train("simclr", settings=settings, output="run", evaluate=False)
    capsys.readouterr()
    for options in (["--lr", "3"], ["--output", "elsewhere"], ["--set", "loss.temperature=0.2"]):
        refusals = []
        for dry in ([], ["--dry-run"]):
            assert sslcore.cli.run(["train", "--resume", "run", *options, *dry], debug=False) == 2
            refusals.append(capsys.readouterr().err)
        assert refusals[0] == refusals[1]
        assert "run" in refusals[0]
    assert sslcore.cli.run(["train", "--resume", "run", "--dry-run"], debug=False) == 0
    assert tomllib.loads(capsys.readouterr().out)["training"]["epochs"] == 1


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.zeros(2, 1, 8, 8).numpy(), "got ndarray; torch.from_numpy"),
        (torch.zeros(2, 3, 8, 8), r"expected a batch \(B, 1, H, W\), since .*got shape \(2, 3,"),
        (torch.zeros(1, 8, 8), r"expected a batch \(B, 1, H, W\)"),
        (torch.zeros(2, 4, 1, 8, 8), r"expected a batch \(B, 1, H, W\)"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.int64), "uint8, or floats in .*got torch.int64"),
        ([[0.0]], "got list"),
    ],
)
def test_what_an_encoder_was_not_made_for_is_refused(images, said, run, registry):
    with pytest.raises(ValueError, match=said):
        sslcore.load_encoder(run.path, registry=registry)(images)


def test_floats_of_any_precision_are_images(run, registry):
    encoder = sslcore.load_encoder(run.path, registry=registry)
    images = torch.rand(2, 1, 8, 8)
    assert torch.allclose(encoder(images.double()), encoder(images))


def test_loading_an_encoder_leaves_random_numbers_alone(run, registry):
    state = torch.get_rng_state()
    sslcore.load_encoder(run.path, registry=registry)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_encoder_that_does_not_fit_its_recipe_is_named(run, registry):
    _replace(run.path / RECIPE, "width = 64", "width = 65")
    with pytest.raises(RunFolderError, match="its encoder does not fit its recipe"):
        sslcore.load_encoder(run.path, registry=registry)


class Texts(torch.nn.Module):
    def __init__(
        self, *, mode: str = "plain", other: str | None = "text", file: Path = Path("a/b")
    ) -> None:
        super().__init__()
        self.mode, self.other, self.file = mode, other, file

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.square().mean()


def test_text_that_says_none_and_paths_come_back_from_a_recipe_as_they_were(
    registry, add, tmp_path
):
    add(registry, "loss", Texts)
    for mode, other in (("none", None), ("none", "text"), ("plain", None)):
        settings = {"loss": {"mode": mode, "other": other, "file": tmp_path / "c"}}
        recipe, _ = make_recipe("simclr", loss="made-up", settings=settings, registry=registry)
        (tmp_path / "r.toml").write_text(recipe.to_toml())
        again, _ = make_recipe(config=tmp_path / "r.toml", registry=registry)
        assert again == recipe
        assert again.loss.settings == settings["loss"]


def test_a_setting_that_is_not_utf_8_is_refused_before_a_folder_is_made(
    registry, add, tiny, console
):
    add(registry, "loss", Texts)
    tiny["loss"] = {"mode": "\udcff"}
    options = {"settings": tiny, "registry": registry, "console": console, "output": "run"}
    with pytest.raises(UsageError, match="a setting can't be written as TOML"):
        sslcore.train("agreement", data="noise", loss="made-up", **options)
    assert not Path("run").exists()


class Named(torch.nn.Module):
    def __init__(self, *, name: str = "x") -> None:
        super().__init__()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean()


def test_a_setting_called_name_is_refused_when_its_component_is_used(registry, add):
    add(registry, "loss", Named)
    make_recipe("simclr", registry=registry)
    said = r"loss made-up \(from made-up-dist 1.2\) has a setting called name, which a recipe"
    with pytest.raises(UsageError, match=said):
        make_recipe("simclr", loss="made-up", registry=registry)
    with pytest.raises(UsageError, match=said):
        sslcore.build("loss", "made-up", registry=registry)
