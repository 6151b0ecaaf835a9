"""Small runs whose pictures are drawn."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
import torch
from rich.console import Console

import sslcore
from sslcore.recipe.request import Request
from sslcore.recipe.resolve import resolve
from sslcore.registry.registry import default_registry
from sslcore.reports.material import Material
from sslcore.runs.folder import Run
from sslcore.training.session import Session

#: Elements that make no request, whatever their attributes.
QUIET = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "nav", "a", "section"),
    *("div", "table", "tr", "th", "td", "figure", "img", "pre", "mark", "details", "summary"),
    "link",
}


class _Requests(HTMLParser):
    """Collects what a browser would ask a server for."""

    def __init__(self):
        super().__init__()
        self.found, self.unknown = [], set()

    def handle_starttag(self, tag, attributes):
        if tag not in QUIET:
            self.unknown.add(tag)
        for name, value in attributes:
            inside = (value or "").startswith(("data:", "#"))
            if (
                name in ("src", "srcset", "href", "action", "data", "poster", "style")
                and not inside
            ):
                self.found.append((tag, name, value))


@pytest.fixture
def requests_of():
    """Return what a browser that opens a page would ask for."""
    return _requests_of


def _requests_of(text):
    parser = _Requests()
    parser.feed(text)
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    return [*parser.found, *parser.unknown, *re.findall(r"url\(|@import", style)]


#: A run of a few steps on the digits.
QUICK = {"training": {"epochs": 1, "batch_size": 256, "log_every": 1, "precision": "fp32"}}


@pytest.fixture
def session():
    """Make a session of a method: `session("simclr", augmentation={"flip": 1})`.

    `part` is another augmentation than the method's.
    """

    def make(method, data="digits", part=None, **settings):
        merged = {**settings, "training": QUICK["training"] | settings.get("training", {})}
        recipe, _ = resolve(
            Request.of(method=method, data=str(data), augmentation=part, settings=merged),
            default_registry(),
        )
        quiet = Console(file=io.StringIO())
        return Session.prepare(recipe, device=torch.device("cpu"), console=quiet)

    return make


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a short run on the digits, with a report."""
    folder = tmp_path_factory.mktemp("runs") / "run <b>"
    sslcore.train(
        method="simclr",
        settings=QUICK | {"loss": {"temperature": 0.3}},
        output=folder,
        report=True,
        console=Console(file=io.StringIO()),
    )
    return folder


@pytest.fixture
def material(session, tmp_path):
    """The material of an untrained pipeline: `material(session)`."""
    return lambda prepared: Material(prepared, Run(tmp_path / "run"))
