"""A plugin's texts can't control a terminal, escape a folder, or reach other code."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import sslcore
from sslcore.cli.tables import print_json
from sslcore.contract.interface import ENGINE_SIGNALS, SUPPLIED
from sslcore.system.printable import is_one_printable_line, one_line, printable

RECORD = {"name": "ok", "summary": "s", "build": "m:C"}
RED, TITLE, BIDI = "\x1b[31mred\x1b[0m", "\x1b]0;title\x07text", "a\u202eb"


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "..", "a:b", RED, "a\n", "a b", "", None, 3],
)
def test_a_name_that_is_a_path_or_more_than_a_name_is_refused(name):
    with pytest.raises(ValueError, match="is not kebab-case"):
        sslcore.Loss(**{**RECORD, "name": name})


@pytest.mark.parametrize("field", ["summary", "reference"])
@pytest.mark.parametrize("text", [RED, TITLE, BIDI, "a\rb", "a\x9b31mb", "a\u2028b", "a\x07", 3])
def test_a_summary_or_reference_with_control_characters_is_refused(field, text):
    with pytest.raises(ValueError, match=f"the {field} must be one line of text"):
        sslcore.Loss(**{**RECORD, field: text})


def test_words_of_any_language_are_no_control_characters():
    sslcore.Loss(**{**RECORD, "summary": "Verlust à la façon — 損失 میخواهم 🙂", "reference": "Ł"})


@pytest.mark.parametrize(
    "build", ["os;system:x", "../x:y", "m:a.b", "m:", ":C", "m:C()", "m C:x", "", None, b"m:C"]
)
def test_a_reference_that_is_more_than_a_module_and_an_attribute_is_refused(build):
    with pytest.raises(ValueError, match=r"is not of the form 'package.module:attribute'"):
        sslcore.Loss(**{**RECORD, "build": build})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (RED, "red"),
        (TITLE, "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x1bcb", "ab"),
        ("a\x1b(Bb", "ab"),
        ("a\x9b31mb", "ab"),
        ("a\x08\x7f\x00b", "ab"),
        ("a\r\nb\tc", "a\nb\tc"),
        (BIDI, "ab"),
        ("ü → 損失", "ü → 損失"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(text, shown):
    assert printable(text) == shown


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_what_is_printable_has_nothing_to_obey_and_stays_as_it_is(text):
    shown = printable(text)
    assert is_one_printable_line(shown.replace("\n", "").replace("\t", ""))
    assert printable(shown) == shown
    assert "\n" not in one_line(text)


BREAKS = "raise RuntimeError('\\x1b[2Jgone\\x1b]0;owned\\x07\\nsecond line')"


def test_the_error_of_a_plugin_is_shown_without_its_escapes(site):
    site.add("bad-plugin", BREAKS)
    done = site.run("--debug", "plugins")
    for text in (done.stdout, done.stderr):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "RuntimeError: gone" in text
    assert "second line" not in done.stderr
    assert "\x1b" not in json.loads(site.run("plugins", "--json").stdout)["plugins"][0]["error"]


NO_MESSAGE = "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd"


def test_an_error_whose_message_fails_is_still_an_error(site):
    site.add("bad-plugin", NO_MESSAGE)
    assert "Odd: (its message can't be read)" in site.run("plugins").stderr


def test_names_in_metadata_are_shown_without_their_escapes(site, loss_plugin):
    site.add(
        "good-plugin",
        loss_plugin("good_plugin", "agree"),
        metadata_name="good\x1b[31m-plugin",
        version="1.0\x9b2J",
    )
    done = site.run("plugins")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\x9b" not in done.stdout
    assert "good-plugin 1.0" in done.stdout


HELP = '''
import sslcore
from torch import Tensor, nn

class Agreement(nn.Module):
    """A loss.

    Args:
        scale: \x1b[31mred\x1b[0m help.
    """

    def __init__(self, *, scale: str = "\\x1b[2J") -> None:
        super().__init__()

    def forward(self, projections: Tensor) -> Tensor:
        return projections.sum()

@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(name="agree", summary="Made up", build="good_plugin:Agreement")
'''


def test_the_help_and_default_of_a_setting_are_shown_without_escapes(site):
    site.add("good-plugin", HELP)
    done = site.run("components", "loss", "agree")
    assert "red help." in done.stdout
    assert "\x1b" not in done.stdout
    assert "\x1b" not in site.run("components", "loss", "agree", "--json").stdout


def test_json_has_no_control_characters_and_reads_back_as_it_was(capsys):
    value = {"name": "a\x9b31m\x7f\x1b[0m ü\u202e"}
    print_json(value)
    text = capsys.readouterr().out
    assert not any(each in text for each in "\x9b\x7f\x1b\u202e")
    assert json.loads(text) == value


class Shouting:
    def __call__(self, train_features, test_features):
        return {"a\x1b[2Jb": 1.0}


class Failing:
    def __call__(self, train_features, test_features):
        raise RuntimeError("\x1b]0;owned\x07failed")


def test_metrics_and_errors_of_evaluators_are_shown_without_escapes(registry, add, tiny, capsys):
    from sslcore.evaluation.table import print_table

    add(registry, "evaluator", Shouting)
    add(registry, "evaluator", Failing, name="failing")
    run = sslcore.train(
        "agreement",
        data="noise",
        evaluators=["made-up", "failing"],
        settings=tiny,
        registry=registry,
    )
    print_table(run.read_evaluation(), run.read_details())
    said = capsys.readouterr()
    assert "ab" in said.out
    assert "failed" in said.err
    assert "\x1b" not in said.out + said.err


class Harmless(nn.Module):
    """A loss.

    Args:
        views: a setting that is called as a signal is.
        images: likewise, as one of the engine's.
    """

    def __init__(self, num_views: int, *, views: int = 3, images: float = 0.5) -> None:
        super().__init__()
        self.num_views, self.views, self.images = num_views, views, images

    def forward(self, projections: Tensor, progress: float) -> Tensor:
        return projections.square().mean() * self.views * self.images


def test_a_setting_called_like_a_signal_is_harmless(registry, add, tiny, console):
    # Settings go to the constructor and signals to forward: they never meet.
    assert "images" in ENGINE_SIGNALS
    add(registry, "loss", Harmless)
    tiny["loss"] = {"views": 2, "images": 0.25}
    run = sslcore.train(
        "agreement",
        data="noise",
        loss="made-up",
        settings=tiny,
        registry=registry,
        console=console,
        evaluate=False,
    )
    assert run.config()["loss"]["views"] == 2
    assert run.config()["loss"]["images"] == 0.25


def test_a_parameter_called_as_what_the_engine_supplies_is_no_setting(registry, add):
    # So no plugin can expose a parameter that the engine supplies; setting it is an error.
    assert "num_views" in SUPPLIED
    add(registry, "loss", Harmless)
    from sslcore.recipe.resolve import make_recipe

    with pytest.raises(sslcore.SslcoreError, match=r"loss.num_views: the engine supplies it"):
        make_recipe(
            "agreement",
            data="noise",
            loss="made-up",
            settings={"loss": {"num_views": 7}},
            registry=registry,
        )
