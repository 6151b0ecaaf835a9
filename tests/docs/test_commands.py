"""Every command and every Python snippet of the documentation runs."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shlex
import shutil
import sys
import tarfile
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

import sslcore.cli

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")),
]

#: Pages with slow commands, which check losses with and without pytest.
SLOW = {"docs/loss.md"}

#: Languages of code blocks. Blocks of text are output and diagrams.
LANGUAGES = {"bash", "python", "toml", "text"}

EXCEPTIONS = tomllib.loads((Path(__file__).parent / "exceptions.toml").read_text(encoding="utf-8"))
NOT_RUN, DRY, RUN_AS, FAILS = (
    EXCEPTIONS[table] for table in ("not-run", "dry-run", "run-as", "fails")
)

#: The run that several pages start with.
FIRST = "sslcore train --method simclr --output runs/first"

SHORT = ["--epochs", "1", "--no-evaluate"]

_FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)
_PROGRAMS = "sslcore|pip|pytest|torchrun|mkdocs|python|ruff|mypy"
_INLINE = re.compile(rf"`((?:{_PROGRAMS}) [^`\n]+)`")


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the language and the text of each code block."""
    return _FENCE.findall((ROOT / page).read_text(encoding="utf-8"))


def commands(block: str) -> Iterator[str]:
    """Yield the commands of a block, without comments, those joined by `&&` one by one."""
    for line in block.replace("\\\n", "").splitlines():
        for command in re.sub(r"\s+#.*|^#.*", "", line).split("&&"):
            if command.strip():
                yield " ".join(command.split())


def inline_commands(page: str) -> list[str]:
    """Return the commands in sentences and tables."""
    return _INLINE.findall(_FENCE.sub("", (ROOT / page).read_text(encoding="utf-8")))


def fenced_commands() -> set[str]:
    """Return the commands in code blocks, of all pages."""
    return {
        command
        for page in PAGES
        for language, block in blocks(page)
        if language == "bash"
        for command in commands(block)
    }


@pytest.fixture
def run_sslcore(monkeypatch, capfd):
    """Run the command line in this process; fail unless its exit code is 0."""
    # The command line replaces this handler.
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def run(arguments, written):
        with pytest.raises(SystemExit) as end:
            sslcore.cli.main(arguments)
        said = capfd.readouterr()
        assert not end.value.code, f"{written}: {said.err}"
        return said.out

    return run


@pytest.fixture(scope="session")
def first_run(tmp_path_factory):
    """A short run, used in place of each `runs/first`."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        with pytest.raises(SystemExit) as end:
            sslcore.cli.main([*shlex.split(FIRST)[1:-1], str(folder), *SHORT])
    assert not end.value.code
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A home folder with photos and tables of them, and images in classes for train and test."""
    home = tmp_path_factory.mktemp("home")
    for folder, count in {
        "photos": 40,
        "FOLDER/train/a": 130,
        "FOLDER/train/b": 130,
        "FOLDER/test/a": 20,
        "FOLDER/test/b": 20,
    }.items():
        (home / folder).mkdir(parents=True)
        for number in range(count):
            generator = torch.Generator().manual_seed(number)
            pixels = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=generator)
            Image.fromarray(pixels.numpy()).save(home / folder / f"{number}.png")
    _write_tables(home)
    _write_encoded(home)
    _write_shards(home)
    return home


def _write_tables(home: Path) -> None:
    """Write tables of the photos, with labels for some of them."""
    paths = [f"photos/{number}.png" for number in range(40)]
    labels = ["cat", "dog", "cat", "dog", None] * 8
    parquet.write_table(pyarrow.table({"path": paths, "label": labels}), home / "labels.parquet")
    for name, header, separator in (
        ("labels.csv", ("path", "label"), ","),
        ("animals.tsv", ("picture", "species"), "\t"),
    ):
        rows = [header, *zip(paths, (label or "" for label in labels), strict=True)]
        text = "".join(separator.join(row) + "\n" for row in rows)
        (home / name).write_text(text, encoding="utf-8")


def _write_encoded(home: Path) -> None:
    """Write the photos into a Parquet file, as Hugging Face does."""
    files = sorted((home / "photos").glob("*.png"))
    images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    (home / "parquet").mkdir()
    table = pyarrow.table({"image": images, "label": [row % 2 for row in range(len(files))]})
    parquet.write_table(table, home / "parquet" / "train-00000-of-00001.parquet")


def _write_shards(home: Path) -> None:
    """Write tar shards of the photos, with labels in two forms."""
    (home / "shards").mkdir()
    for number in range(2):
        with tarfile.open(home / "shards" / f"train-{number:03}.tar", "w") as shard:
            for row in range(20 * number, 20 * number + 20):
                label = ("cat", "dog")[row % 2]
                for ending, content in (
                    ("png", (home / "photos" / f"{row}.png").read_bytes()),
                    ("cls", label.encode()),
                    ("json", json.dumps({"species": label}).encode()),
                ):
                    member = tarfile.TarInfo(f"{row:04}.{ending}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))


@pytest.fixture
def place(tmp_path, pictures, monkeypatch):
    """The folder in which the commands of a page run: on the import path, with images."""
    place = tmp_path / "page"
    place.mkdir()
    (place / "FOLDER").symlink_to(pictures / "FOLDER")
    monkeypatch.setenv("HOME", str(pictures))
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("PYTHONPATH", str(place), prepend=os.pathsep)
    known = set(sys.modules)
    yield place
    written = {path.stem for path in place.rglob("*.py")} | {
        path.name for path in place.rglob("*") if path.is_dir()
    }
    for name in set(sys.modules) - known:
        # A page may write a file called like an installed library, whose modules must stay.
        installed = "site-packages" in str(getattr(sys.modules[name], "__file__", ""))
        if name.partition(".")[0] in written and not installed:
            del sys.modules[name]


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if page in SLOW else ()) for page in PAGES],
)
def test_every_block_of_a_page_runs(page, place, first_run, run_sslcore, monkeypatch, capfd):
    namespace: dict[str, object] = {"__name__": "__snippet__"}
    texts = [block for _, block in blocks(page)]
    if any("runs/first" in text for text in texts) and not any(FIRST in text for text in texts):
        # A page may use the run of the quick start.
        shutil.copytree(first_run, place / "runs/first")
    for language, block in blocks(page):
        # Each block starts in the folder of the page, even after a `cd` in an earlier block.
        monkeypatch.chdir(place)
        assert language in LANGUAGES, f"{page}: a block of the unknown language {language!r}"
        if named := re.match(r"# ([\w/]+\.(?:py|toml))\n", block):
            path = place / named[1]
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(block, encoding="utf-8")
        if language == "toml":
            tomllib.loads(block)
        if language == "python":
            exec(compile(block, page, "exec"), namespace)
        if language == "bash":
            for command in commands(block):
                _run(command, place, first_run, run_sslcore, monkeypatch, capfd)


def _run(command, place, first_run, run_sslcore, monkeypatch, capfd):
    if command in NOT_RUN:
        return
    if command == FIRST:
        shutil.copytree(first_run, place / "runs/first")
        return
    words = shlex.split(RUN_AS.get(command, command))
    with monkeypatch.context() as environment:
        while re.fullmatch(r"[A-Z_]+=.*", words[0]):
            environment.setenv(*words.pop(0).split("=", 1))
        match words:
            case ["cd", folder]:
                monkeypatch.chdir(folder)
                # In place of `pip install -e .`.
                monkeypatch.syspath_prepend(Path("src").absolute())
            case ["sslcore", *arguments]:
                run_sslcore(_shortened(command, arguments), command)
            case ["torchrun", *_] if command in DRY:
                arguments = words[words.index("sslcore") + 1 :]
                run_sslcore(_shortened(command, arguments), command)
            case ["pytest", *arguments]:
                _run_pytest(command, arguments, capfd)
            case _:
                pytest.fail(f"no rule runs this command: {command}")


def _shortened(command: str, arguments: list[str]) -> list[str]:
    """Return the arguments plus those that make the run short, or only resolve it."""
    if "train" not in arguments or "--dry-run" in arguments:
        return arguments
    if command in DRY:
        return [*arguments, "--dry-run"]
    return [*arguments, "--no-evaluate"] if "--resume" in arguments else [*arguments, *SHORT]


def _run_pytest(command, arguments, capfd):
    """Run pytest on a file of the page, in this process."""
    ended = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments])
    said = capfd.readouterr().out
    expected = FAILS.get(command, {"code": 0, "output": " passed"})
    assert ended == expected["code"], said
    assert expected["output"] in said


def test_every_command_in_a_sentence_is_understood(place, run_sslcore):
    """A bare command prints its help; a training command is only resolved; others are run."""
    run_elsewhere = {*NOT_RUN, *fenced_commands()}
    for command in sorted({*itertools.chain(*map(inline_commands, PAGES))}):
        run_as = RUN_AS.get(command, command)
        if {command, run_as} & run_elsewhere:
            continue
        words = shlex.split(run_as)
        assert words[0] == "sslcore", f"no rule runs this command: {command}"
        if len(words) == 2:
            words.append("--help")
        elif words[1] == "train":
            words.append("--dry-run")
        run_sslcore(words[1:], command)


def test_the_tables_of_exceptions_name_commands_of_the_documentation():
    named = {*fenced_commands(), *itertools.chain(*map(inline_commands, PAGES))}
    assert {*NOT_RUN, *DRY, *RUN_AS, *FAILS, FIRST} - named == set()


def test_commands_that_are_not_run_are_right():
    ci = (ROOT / ".ci/run").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for command, reason in NOT_RUN.items():
        if reason == ".ci/run runs it":
            assert re.search(rf"^({re.escape(command)}|tests=\"{re.escape(command)}\")$", ci, re.M)
        if reason == "it installs packages" and (extra := re.search(r"\[(\w+)\]", command)):
            assert extra[1] in extras["optional-dependencies"]
        for file in re.findall(r"\S+\.py", command):
            assert (ROOT / file).is_file(), command


def test_every_option_that_is_named_is_there(run_sslcore):
    """Options of sslcore in the documentation are options of one of its commands."""
    names = list(sslcore.cli.COMMANDS)
    known = {
        option
        for arguments in ([], *([name] for name in names))
        for option in re.findall(r"--[a-z-]+", run_sslcore([*arguments, "--help"], arguments))
    }
    others = ("pip ", "pytest", "torchrun ", "ruff ", "mkdocs ", "python ")
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        spans = re.findall(r"`([^`\n]*)`", _FENCE.sub("", text))
        lines = [
            command for kind, block in blocks(page) if kind == "bash" for command in commands(block)
        ]
        for span in [*spans, *lines]:
            if not span.startswith((*others, "train.py", "loss.py", "augmentation.py")):
                for option in re.findall(r"(?<![\w-])--[a-z-]+", span):
                    assert option in known, f"{page}: {span}"
