"""`sslcore new-plugin` writes a plugin that is lint-free, installable, and usable at once."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sslcore.cli
from sslcore.cli.new_plugin import KINDS, LICENSES, Names, check_name, files_of
from sslcore.cli.new_plugin.naming import LONGEST
from sslcore.errors import UsageError
from sslcore.registry.registry import default_registry

ROOT = Path(__file__).parents[2]

LONG_NAME = "a" + "-b" * ((LONGEST - 1) // 2)


@pytest.fixture
def new(capsys):
    def run(*arguments):
        code = sslcore.cli.run(["new-plugin", *map(str, arguments)], debug=False)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def _kinds(*usual):
    """Every kind; only slow tests run most of them."""
    return [pytest.param(kind, marks=() if kind in usual else pytest.mark.slow) for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["soft-agreement", LONG_NAME, "tensor-x", "quiet"])
def test_what_is_written_has_no_leftovers_and_is_valid(kind, name):
    files = files_of(Names(name, kind), author='Ann "A" Ö. \\ $name', license="BSD-3-Clause")
    for path, text in files.items():
        assert "${" not in text.replace("${{ matrix.python }}", ""), path
        assert "$name" not in text.replace("\\ $name", "").replace("\\\\ $name", ""), path
        assert text.endswith("\n"), path
        assert not any(word in text for word in ("TODO", "FIXME", "my_plugin", "$class", "$pack"))
        if path.endswith(".py"):
            ast.parse(text)
            assert all(len(line) <= 100 for line in text.splitlines()), path
    project = tomllib.loads(files["pyproject.toml"])
    assert project["project"]["name"] == name
    assert project["project"]["dependencies"] == ["sslcore>=0.1,<0.2"]
    assert project["project"]["authors"] == [{"name": 'Ann "A" Ö. \\ $name'}]
    package = name.replace("-", "_")
    assert project["project"]["entry-points"]["sslcore"] == {package: package}
    assert f"src/{package}/__init__.py" in files
    assert "torch" not in files[f"src/{package}/__init__.py"]


def test_a_plugin_of_several_kinds_has_them_all_in_one_package():
    parts = [Names("of-mine", "method", "m"), Names("of-mine", "head", "h")]
    files = files_of(*parts, Names("of-mine", "loss", "l"))
    records = files["src/of_mine/__init__.py"]
    assert [line for line in records.splitlines() if line.startswith("def ")] == [
        "def sslcore_methods() -> Iterator[sslcore.Method]:",
        "def sslcore_heads() -> Iterator[sslcore.Head]:",
        "def sslcore_losses() -> Iterator[sslcore.Loss]:",
    ]
    # The method is made of the plugin's parts, and of what ships for the rest.
    assert 'head="h",\n        loss="l",' in records
    assert 'augmentation="two-views"' in records
    sources = {path.rpartition("/")[2] for path in files if path.startswith("src/")}
    assert sources == {"__init__.py", "heads.py", "losses.py", "formula.py"}
    tests = {path for path in files if path.startswith("tests/")}
    assert tests == {f"tests/test_{kind}.py" for kind in ("method", "head", "loss")}
    assert 'description = "A method, a head and a loss for sslcore"' in files["pyproject.toml"]
    assert "sslcore components head h\n" in files["README.md"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kind", "loss", "--kind", "loss"], "--kind loss is given twice"),
        (["--kind", "loss", "--kind", "head", "--name", "a"], "1 given for 2 components"),
        (["--kind", "loss", "--name", "a", "--name", "b"], "2 given for 1 components"),
        (["--kind", "loss", "--kind", "head", "--name", "a", "--name", "nt-xent"], "is taken"),
    ],
)
def test_kinds_and_names_that_do_not_match_are_refused(arguments, said, new):
    code, _, err = new("of-mine", *arguments)
    assert code == 2
    assert said in err
    assert not list(Path().iterdir())


@pytest.mark.skipif(shutil.which("ruff") is None, reason="there is no ruff here")
@pytest.mark.parametrize("name", ["soft-agreement", LONG_NAME])
def test_what_is_written_is_formatted_and_clean_by_its_own_settings_and_by_ours(name, new):
    several = ("loss", "method", "augmentation")
    for kinds in (*((kind,) for kind in KINDS), several):
        kind = "-".join(kinds)
        options = [word for each in kinds for word in ("--kind", each)]
        assert new(name, *options, "--directory", kind)[0] == 0
        ours = ["--config", str(ROOT / "pyproject.toml"), "--config", "src=['src']"]
        for arguments in (["check"], ["check", *ours], ["format", "--check"]):
            done = subprocess.run(
                ["ruff", *arguments, "--no-cache", "."], cwd=kind, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("license", LICENSES)
def test_the_license_is_whole_and_names_the_holder_and_the_year(license):
    files = files_of(Names("soft-agreement", "loss"), author="Ann Author", license=license)
    text = files["LICENSE"]
    assert "Ann Author" in text
    assert "20" in next(line for line in text.splitlines() if "Ann Author" in line)
    assert "[yyyy]" not in text
    assert "WARRANT" in text
    assert f'license = "{license}"' in files["pyproject.toml"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Soft Agreement", "is not kebab-case"),
        ("soft_agreement", "is not kebab-case"),
        ("../escape", "is not kebab-case"),
        ("x" * (LONGEST + 1), f"{LONGEST} is the most"),
        ("3d-views", "3d_views is no name for a Python package"),
        ("lambda", "lambda is no name for a Python package"),
        ("tests", "tests is no name for a Python package"),
        ("nt-xent", "'nt-xent' is taken: loss nt-xent (from sslcore"),
        ("sslcore-nt-xent", "'nt-xent' is taken: loss nt-xent (from sslcore"),
        ("sslcore-3d", "'3d' can't be a part"),
        ("simclr", "is taken: method simclr"),
        ("sslcore", "is taken: plugin sslcore_"),
        ("sslcore-simclr", "is taken: plugin sslcore_simclr of sslcore"),
        ("scikit-learn", "is taken: scikit-learn "),
        ("torch", "is taken: torch "),
        ("json", "there is a Python module json already"),
    ],
)
def test_a_name_that_can_not_be_had_is_refused(name, said, new):
    code, _, err = new(name, "--kind", "loss")
    assert code == 2
    assert said in err
    assert not list(Path().iterdir())


def test_a_name_of_a_third_partys_part_is_taken_too(registry):
    with pytest.raises(UsageError, match="is taken: method tiny-mae"):
        check_name("tiny-mae", registry)
    check_name("tiny-mae-of-mine", registry)


def test_a_part_is_called_as_its_plugin_is_less_the_prefix_or_as_is_said(new):
    assert new("sslcore-triplet", "--kind", "method")[0] == 0
    records = Path("sslcore-triplet/src/sslcore_triplet/__init__.py").read_text()
    assert 'name="triplet"' in records
    assert "TripletLoss" in Path("sslcore-triplet/src/sslcore_triplet/losses.py").read_text()
    assert "--method triplet" in Path("sslcore-triplet/README.md").read_text()
    assert new("sslcore-whitening", "--kind", "loss", "--name", "w-mse")[0] == 0
    assert 'name="w-mse"' in Path("sslcore-whitening/src/sslcore_whitening/__init__.py").read_text()
    code, _, err = new("another-plugin", "--kind", "loss", "--name", "nt-xent")
    assert code == 2
    assert "choose another with --name" in err


def test_a_folder_that_exists_is_left_alone(new, tmp_path):
    Path("soft-agreement").mkdir()
    code, _, err = new("soft-agreement", "--kind", "loss")
    assert code == 2
    assert "soft-agreement exists already" in err
    assert not list(Path("soft-agreement").iterdir())
    code, _, err = new("soft-agreement", "--kind", "loss", "--directory", tmp_path)
    assert code == 2
    Path("file").write_text("")
    code, _, err = new("soft-agreement", "--kind", "loss", "--directory", "file/inside")
    assert code == 2
    assert "can't be written" in err


def test_nothing_is_left_beside_the_new_folder(new):
    code, out, _ = new("soft-agreement", "--kind", "loss", "--directory", "a/b/c")
    assert code == 0
    assert [path.name for path in Path("a/b").iterdir()] == ["c"]
    for path in out.splitlines()[:-2]:
        assert Path(path).is_file()
    assert out.splitlines()[-1] == "cd a/b/c && pip install -e '.[test]' && pytest"


def test_an_author_of_several_lines_is_refused(new):
    code, _, err = new("soft-agreement", "--kind", "loss", "--author", 'A"\nlicense = "x')
    assert code == 2
    assert "--author: expected a line of text" in err


def _pip(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments), "--quiet", "--no-index", "--no-deps"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None or importlib.util.find_spec("pip") is None,
    reason="a wheel can't be built without network here: there is no hatchling, or no pip",
)
@pytest.mark.parametrize("kind", _kinds("method"))
def test_a_new_plugin_is_built_installed_and_found(kind, new, site, tmp_path):
    name = f"new-{kind}"
    assert new(name, "--kind", kind)[0] == 0
    _pip("wheel", "--no-build-isolation", "--wheel-dir", tmp_path / "wheels", f"./{name}")
    (wheel,) = (tmp_path / "wheels").iterdir()
    _pip("install", "--target", site.path, wheel)
    listed = json.loads(site.run("plugins", "--json").stdout)["plugins"]
    assert {"name": f"new_{kind}", "distribution": name, "status": "active"}.items() <= next(
        row for row in listed if row["name"] == f"new_{kind}"
    ).items()
    what = ["methods"] if kind == "method" else ["components", kind]
    done = site.run(*what, name, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["settings"]
    assert all(row["help"] for row in shown["settings"] if not row["name"].startswith("optimizer"))
    assert shown["name"] == name
    readme = Path(name, "README.md").read_text()
    (command,) = (line for line in readme.splitlines() if line.startswith("sslcore train"))
    few_steps = ["--epochs", "1", "--batch-size", "200", "--set", "data.image_size=8"]
    evaluated = [] if kind == "evaluator" else ["--no-evaluate"]
    trained = site.run(*shlex.split(command)[1:], *few_steps, *evaluated, "--no-report")
    assert trained.returncode == 0, trained.stderr


def _together(*usual):
    """Every kind alone, and four together; only slow tests run most of them."""
    alone = [
        pytest.param([kind], marks=() if kind in usual else pytest.mark.slow, id=kind)
        for kind in KINDS
    ]
    four = ["augmentation", "encoder", "head", "method"]
    return [*alone, pytest.param(four, marks=pytest.mark.slow, id="four")]


@pytest.mark.parametrize("kinds", _together("loss"))
def test_the_tests_that_come_with_a_new_plugin_pass(kinds, new, site):
    name = f"new-{kinds[0]}-{len(kinds)}"
    options = [word for each in kinds for word in ("--kind", each)]
    assert new(name, *options)[0] == 0
    package = name.replace("-", "_")
    shutil.copytree(Path(name, "src"), site.path, dirs_exist_ok=True)
    site.describe(name, points={package: package})
    path = os.pathsep.join(filter(None, [str(site.path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=name,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_the_records_of_every_kind_are_read_from_source_alone(tmp_path, monkeypatch):
    from sslcore.contract.static_interface import read_interface

    monkeypatch.syspath_prepend(tmp_path)
    for kind in KINDS:
        names = Names(f"read-{kind}", kind)
        for path, text in files_of(names).items():
            if path.startswith("src/"):
                file = tmp_path / path.removeprefix("src/")
                file.parent.mkdir(exist_ok=True)
                file.write_text(text)
        files = (tmp_path / names.package).iterdir()
        module = next(p.stem for p in files if p.stem not in ("__init__", "formula"))
        code = Names(names.name, "loss", names.part) if kind == "method" else names
        attribute = "stripes" if kind == "dataset" else code.class_name
        interface = read_interface(f"{names.package}.{module}:{attribute}")
        assert interface is not None
        assert all(setting.help for setting in interface.settings.values())
    check_name("not-installed-yet", default_registry())
