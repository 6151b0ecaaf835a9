"""All references of the documentation exist: links, anchors, import paths, files and packages."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRONT = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
PAGES = [*FRONT, *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]


def text_of(page: str) -> str:
    """Return a page without its code blocks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.sub(r"^```(?:.*\n)*?^```$", "", text, flags=re.MULTILINE)


def spans(page: str) -> list[str]:
    """Return the inline code of a page."""
    return re.findall(r"`([^`\n]+)`", text_of(page))


def anchors(page: str) -> set[str]:
    """Return the anchors of the headings, as mkdocs and code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(str(file.resolve().relative_to(ROOT))), target


@pytest.mark.parametrize("page", PAGES)
def test_every_import_path_can_be_imported(page):
    if page == "CHANGELOG.md":
        pytest.skip("it names the paths of earlier versions")
    named = [span for span in spans(page) if not span.startswith("sslcore/")]
    named += re.findall(r"^::: (\S+)", text_of(page), re.MULTILINE)
    for span in named:
        if found := re.match(r"sslcore(?:\.\w+)+", span):
            resolve(found[0])


def test_every_building_block_is_in_its_module():
    found = re.findall(
        r"^\| `(sslcore\.\w+)` \| (.*) \|$", text_of("docs/publish.md"), re.MULTILINE
    )
    assert found
    for module, content in found:
        for name in re.findall(r"`(\w+)`", content):
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def resolve(path: str) -> object:
    """Return the object at a dotted path: a module, or an attribute of one."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, attribute = path.rpartition(".")
        return getattr(resolve(module), attribute)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/conformance.md",
        "docs/publish.md",
        "docs/contract.md",
    ],
)
def test_every_file_and_folder_that_is_named_is_there(page):
    under = [ROOT, ROOT / "sslcore", ROOT / "sslcore/testing", ROOT / "tests/benchmarks"]
    for span in spans(page):
        # A path has a slash or ends in .py; others are code.
        if re.fullmatch(r"[\w./-]+/[\w./-]*|\w+\.py", span) and not span.startswith("./"):
            made = span.startswith(("my_", "runs/", "train/", "test/")) and page != (
                "docs/architecture.md"
            )
            assert made or any((folder / span).exists() for folder in under), span


def test_every_room_has_its_line_in_the_architecture():
    rooms = {
        path.name + ("/" if path.is_dir() else "")
        for path in (ROOT / "sslcore").iterdir()
        if not path.name.startswith(("_", ".")) and path.suffix in ("", ".py")
    }
    table = text_of("docs/architecture.md").partition("## The rooms")[2].partition("##")[0]
    named = set(
        re.findall(
            r"`([\w/.]+)`",
            "\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")),
        )
    )
    assert rooms == named
