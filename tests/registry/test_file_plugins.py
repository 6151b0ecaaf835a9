"""A single file or a module is a plugin for one command, and a run records its plugins."""

from __future__ import annotations

import json
import sys

import pytest

from sslcore.registry.discovery import of_file

IDEA = '''
import sslcore
from torch import Tensor, nn


class Agreement(nn.Module):
    """A loss of my own.

    Args:
        scale: what it is multiplied with.
    """

    def __init__(self, *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, projections: Tensor) -> Tensor:
        first, second = projections
        return self.scale * (first - second).square().mean()


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(name="idea", summary="An idea", build="my_idea:Agreement")


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="idea",
        summary="An idea",
        augmentation="two-views",
        encoder="small-cnn",
        head="projection",
        loss="idea",
    )
'''

TINY = ("--epochs", "1", "--batch-size", "512", "--set", "data.image_size=8", "--no-evaluate")


@pytest.fixture
def idea(tmp_path):
    folder = tmp_path / "work"
    (folder / "my_idea.py").write_text(IDEA)
    return folder / "my_idea.py"


def test_a_file_is_a_plugin_and_its_references_name_the_file(site, idea):
    done = site.run("-p", "./my_idea.py", "components", "loss", "idea", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["distribution"], shown["version"]) == ("(file)", str(idea))
    assert [row["name"] for row in shown["settings"]] == ["scale"]


def test_a_run_made_with_a_file_says_so_and_asks_for_it(site, idea, tmp_path):
    trained = site.run(
        "train", "--method", "idea", "--output", "run", *TINY, "--plugin=./my_idea.py"
    )
    assert trained.returncode == 0, trained.stderr
    recipe = (idea.parent / "run" / "recipe.toml").read_text()
    assert recipe.startswith(f'method = "(file):idea"\nfrom = "(file) {idea}"\n')
    assert f'name = "(file):idea"\nfrom = "(file) {idea}"\nscale = 1.0' in recipe
    for again in (["train", "--resume", "run"], ["evaluate", "run"]):
        without = site.run(*again)
        assert without.returncode == 2
        assert f"method (file):idea comes from the file {idea}; use -p ./my_idea.py" in (
            without.stderr
        )
        assert f"loss (file):idea comes from the file {idea}; use -p ./my_idea.py" in without.stderr
    elsewhere = site.run("evaluate", idea.parent / "run", cwd=tmp_path)
    assert "use -p ./work/my_idea.py" in elsewhere.stderr
    with_it = site.run("train", "--resume", "run", "--no-evaluate", "-p", "./my_idea.py")
    assert with_it.returncode == 0, with_it.stderr
    idea.unlink()
    gone = site.run("evaluate", "run")
    assert "which is not there any more: put it back; use -p ./my_idea.py" in gone.stderr


@pytest.mark.slow
def test_a_module_is_a_plugin_too(site, idea, tmp_path):
    package = site.path / "of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "idea.py").write_text(IDEA.replace("my_idea:", "of_mine.idea:"))
    trained = site.run(
        *["train", "-p", "of_mine.idea", "--method", "simclr", "--loss", "idea"],
        *["--output", "run", *TINY],
    )
    assert trained.returncode == 0, trained.stderr
    assert 'from = "(module) of_mine.idea"' in (idea.parent / "run/recipe.toml").read_text()
    without = site.run("evaluate", "run")
    assert "comes from the module of_mine.idea; use -p of_mine.idea" in without.stderr


def test_an_installed_plugin_that_is_asked_for_stays_what_it_is(site, loss_plugin):
    site.add("good-plugin", loss_plugin("good_plugin", "agree"))
    done = site.run("-p", "good_plugin", "plugins", "--json")
    rows = [row for row in json.loads(done.stdout)["plugins"] if row["name"] == "good_plugin"]
    assert [row["distribution"] for row in rows] == ["good-plugin"]


def test_a_file_that_is_named_twice_is_one_plugin(site, idea):
    done = site.run("-p", "./my_idea.py", "components", "loss", "idea", "-p", str(idea))
    assert done.returncode == 0, done.stderr


def test_a_file_can_be_blocked_like_any_plugin(site, idea):
    done = site.run("-p", "./my_idea.py", "-p", "no:my_idea", "components", "loss", "idea")
    assert done.returncode == 2
    assert "blocked: -p no:my_idea" in done.stderr


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("my_idea.py", None, "-p ./my_idea.py: there is no such file"),
        ("my-idea.py", IDEA, "'my-idea.py' is no name of one: call it like my_idea.py"),
        ("class.py", IDEA, "'class.py' is no name of one"),
        ("json.py", IDEA, "a module called json is there already"),
        ("sys.py", IDEA, "a module called sys is there already"),
        ("my_idea.py", "import nothing_of_that_name", "ModuleNotFoundError: No module named"),
        ("my_idea.py", "raise SystemExit(0)", "SystemExit: 0"),
        ("my_idea.py", "x = 1", "it implements none of the hooks"),
        ("my_idea.py", "SSLCORE_API = 99\n", "it was written for plugin API 99"),
    ],
)
def test_a_file_that_can_not_be_a_plugin_is_refused(site, tmp_path, name, source, said):
    if source is not None:
        (tmp_path / "work" / name).write_text(source)
    # From another folder, since Python would otherwise import modules of this folder.
    done = site.run("-p", f"../work/{name}", "methods", cwd=site.path)
    assert done.returncode == 2
    assert said.replace("-p ./", "-p ../work/") in done.stderr
    assert "Traceback" not in done.stderr


def test_half_a_file_is_not_taken_for_the_whole_one_when_it_is_tried_again(tmp_path):
    file = tmp_path / "half_an_idea.py"
    file.write_text("first = 1\nraise RuntimeError('half-way')")
    with pytest.raises(RuntimeError, match="half-way"):
        of_file(str(file)).load()
    assert "half_an_idea" not in sys.modules
    file.write_text("first = 2")
    assert of_file(str(file)).load().first == 2
    del sys.modules["half_an_idea"]


def test_debug_shows_where_a_file_broke(site, tmp_path):
    (tmp_path / "work" / "my_idea.py").write_text("raise RuntimeError('here')")
    done = site.run("--debug", "-p", "./my_idea.py", "methods")
    assert "raise RuntimeError('here')" in done.stderr


def test_an_unknown_plugin_is_an_error_with_the_nearest(site):
    done = site.run("-p", "sslcore_simcrl", "methods")
    assert done.returncode == 2
    assert "no plugin, file or module is called that; nearest: sslcore_simclr" in done.stderr
