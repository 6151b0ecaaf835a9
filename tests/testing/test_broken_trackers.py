"""Broken trackers; the conformance tests detect each of them."""

from __future__ import annotations

import json
import socket
from typing import Annotated

import pytest
import torch
from annotated_types import Ge, Gt

from sslcore.registry.registry import default_registry
from sslcore.testing import TrackerSpec, check, specs_of


class Good:
    def __init__(self, *, every: Annotated[int, Gt(0)] = 1) -> None:
        self.every = every

    def started(self, folder, settings, step):
        self.path = folder / "losses.txt"
        self.lines = []

    def logged(self, step, numbers):
        if step % self.every == 0:
            self.lines.append(f"{step} {sorted(numbers)}")

    def ended(self, state):
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n".join([*self.lines, state]))


class Misspelt:
    def start(self, folder, settings, step):
        pass


class OneArgumentTooFew(Good):
    def logged(self, numbers):
        pass


class MeanOfNothing(Good):
    def ended(self, state):
        self.mean = 1 / len(self.lines)


class StartsOnce(Good):
    def started(self, folder, settings, step):
        super().started(folder, settings, step)
        (folder / "mine").mkdir()


class PlainNames(Good):
    def logged(self, step, numbers):
        assert all(name.replace("_", "").replace(".", "").isalnum() for name in numbers)


class NoNaN(Good):
    def evaluated(self, table):
        json.dumps(table, allow_nan=False)


class WritesMetrics(Good):
    def ended(self, state):
        (self.path.parent / "metrics.jsonl").write_text("")


class DeletesTheRecipe(Good):
    def ended(self, state):
        (self.path.parent / "recipe.toml").unlink(missing_ok=True)


class Seeds(Good):
    def ended(self, state):
        torch.manual_seed(0)


class AnyPeriod(Good):
    def __init__(self, *, every: Annotated[int, Ge(0)] = 1) -> None:
        super().__init__(every=every)


class Calls(Good):
    def started(self, folder, settings, step):
        super().started(folder, settings, step)
        socket.create_connection(("192.0.2.1", 80), timeout=1)


BROKEN = {
    Misspelt: {"a-run-is-followed"},
    OneArgumentTooFew: {
        *("a-run-is-followed", "a-run-goes-on", "unusual-numbers-are-followed"),
        *("any-run-may-end", "the-run-stays-as-it-is"),
    },
    MeanOfNothing: {"any-run-may-end"},
    StartsOnce: {"a-run-goes-on"},
    PlainNames: {"unusual-numbers-are-followed"},
    NoNaN: {"unusual-numbers-are-followed"},
    WritesMetrics: {"the-run-stays-as-it-is"},
    DeletesTheRecipe: {"the-run-stays-as-it-is"},
    Seeds: {"the-run-stays-as-it-is"},
    AnyPeriod: {"settings-at-their-bounds-work"},
}


def _failed(make):
    report = check(TrackerSpec(make=make))
    assert {row.status for row in report.rows} <= {"pass", "fail", "n/a"}
    return {row.property: row for row in report.rows if row.status == "fail"}


def test_a_good_tracker_passes():
    assert _failed(Good) == {}


@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
def test_what_is_broken_is_found(make):
    assert set(_failed(make)) == BROKEN[make]


def test_other_machines_are_not_connected_to():
    failed = _failed(Calls)
    assert "connect to no other machine" in failed["a-run-is-followed"].reason


def test_the_variables_of_the_record_are_set_during_the_checks(monkeypatch):
    import os

    class Reads(Good):
        def started(self, folder, settings, step):
            super().started(folder, settings, step)
            assert os.environ["MADE_UP_MODE"] == "offline"

    assert check(TrackerSpec(make=Reads, offline={"MADE_UP_MODE": "offline"})).passed
    assert "MADE_UP_MODE" not in os.environ


def test_a_library_that_is_not_installed_is_no_failure():
    class Needs(Good):
        def __init__(self) -> None:
            try:
                import made_up_library  # noqa: F401
            except ImportError as error:
                raise ValueError("it needs made_up_library") from error

    rows = check(TrackerSpec(make=Needs)).rows
    assert {row.status for row in rows} == {"n/a"}
    assert all("it needs made_up_library" in row.reason for row in rows)


@pytest.mark.parametrize("entry", default_registry().entries("tracker"), ids=str)
def test_the_trackers_that_ship_pass(entry):
    (spec,) = specs_of(entry)
    report = check(spec)
    if all(row.status == "n/a" for row in report.rows):
        pytest.skip(report.rows[0].reason)
    assert report.passed, str(report)
