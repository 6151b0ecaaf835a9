"""`sslcore check`: tables, JSON, exit codes, and messages for unknown names."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sslcore.cli.check import check
from sslcore.contract.records import Loss
from sslcore.errors import UsageError
from sslcore.registry.registry import Registry


def run(*arguments):
    return CliRunner().invoke(check, list(arguments), standalone_mode=False)


@pytest.fixture
def offering(monkeypatch):
    """Make the command see one plugin that offers these records."""

    def offer(*records):
        class Plugin:
            @staticmethod
            def sslcore_losses():
                yield from records

        import sslcore

        Plugin.sslcore_losses = staticmethod(sslcore.hookimpl(Plugin.sslcore_losses))
        registry = Registry()
        registry.register(Plugin, name="mine", distribution="sslcore-mine", version="1.0")
        monkeypatch.setattr("sslcore.cli.check.default_registry", lambda: registry)

    return offer


def test_a_sound_loss_passes_with_a_table_and_exit_code_0():
    result = run("loss", "mse", "--no-mutation")
    assert result.return_value == 0
    assert "value-matches-reference-float64" in result.output
    assert "passed:" in result.output


def test_the_report_is_json_for_a_program():
    result = run("loss", "mse", "--json")
    (report,) = json.loads(result.output)
    assert report["passed"] is True
    assert report["counts"]["declared"] == len(report["properties"])
    assert report["mutation"]["survived"] == []


def test_a_loss_that_breaks_a_property_exits_with_1_and_shows_code_to_paste(offering):
    offering(
        Loss(
            name="half",
            summary="InfoNCE in the place of NT-Xent",
            build="sslcore_infonce.loss:InfoNCE",
            family="nt-xent",
        )
    )
    result = run("loss", "half", "--no-mutation")
    assert result.return_value == 1
    assert "projections = torch.tensor(" in result.output
    assert "FAILED" in result.output


def _loss(name, build="formula_losses:Siamese", **stated):
    return Loss(name=name, summary="A loss of a third party", build=build, **stated)


def test_a_loss_is_held_to_the_formula_in_its_record(offering):
    offering(
        _loss("sound", formula="formula_losses:siamese"),
        _loss("broken", "formula_losses:SiameseNoDetach", formula="formula_losses:siamese"),
    )
    assert run("loss", "sound", "--no-mutation").return_value == 0
    result = run("loss", "broken", "--no-mutation")
    assert result.return_value == 1
    assert "gradient-matches-reference-float64" in result.output
    assert "predictions = torch.tensor(" in result.output


def test_a_loss_is_held_to_the_points_in_its_record(offering):
    offering(
        _loss("sound", points="formula_losses:siamese_points"),
        _loss("broken", "formula_losses:SiameseSum", points="formula_losses:siamese_points"),
    )
    result = run("loss", "sound", "--no-mutation")
    # Without a formula, a gradient that stops at one of the signals is known by finite differences.
    assert result.return_value == 0, result.output
    result = run("loss", "broken", "--no-mutation")
    assert result.return_value == 1
    assert "value-at-named-points" in result.output


def test_exit_code_3_says_that_nothing_certified_a_loss(offering):
    offering(_loss("free"), _loss("sound", formula="formula_losses:siamese"))
    result = run("loss", "free", "--no-mutation")
    assert result.return_value == 3
    assert "nothing certified the loss" in result.output
    assert run("plugin", "mine", "--no-mutation").return_value == 3
    (report,) = json.loads(run("loss", "free", "--json", "--no-mutation").output)
    assert (report["passed"], report["certified"]) == (True, False)


def test_a_loss_of_unknown_signals_is_not_checked_and_told_why(offering):
    offering(_loss("strange", "formula_losses:Strange"))
    result = run("loss", "strange")
    assert result.return_value == 3
    assert "it takes boxes, of unknown shape" in result.stderr
    assert "Shape(" in result.stderr


def test_a_formula_that_asks_for_what_the_loss_lacks_is_refused(offering):
    offering(_loss("odd", formula="formula_losses:prototypes"))
    result = run("loss", "odd", "--no-mutation")
    assert isinstance(result.exception, UsageError)
    assert "the formula asks for 'layer_weight'" in str(result.exception)


def test_everything_that_a_plugin_offers_is_checked_and_counted(offering):
    offering(
        Loss(
            name="good",
            summary="Right",
            build="sslcore_autoencoder.loss:MSE",
            family="reconstruction",
        ),
        Loss(
            name="bad",
            summary="Of another family",
            build="sslcore_infonce.loss:InfoNCE",
            family="nt-xent",
        ),
    )
    result = run("plugin", "mine", "--no-mutation")
    assert result.return_value == 1
    assert "1 of 2 passed; not: loss bad" in result.output


def test_families_are_listed_and_their_properties_documented():
    assert "nt-xent" in run("family").output
    shown = run("family", "nt-xent").output
    assert "closed-form" in shown
    assert "precondition" in shown
    (first, *_) = json.loads(run("family", "nt-xent", "--json").output)
    assert set(first) == {"name", "code", "formula", "precondition", "kills"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lossy", "nt-xent"], "nearest: loss"),
        (["loss"], "sslcore check loss NAME"),
        (["loss", "nt-xnt"], "nearest: nt-xent"),
        (["plugin", "sslcore_simclrr"], "nearest: sslcore_simclr"),
        (["family", "nt-xnt"], "nearest: nt-xent"),
    ],
)
def test_a_name_that_is_not_there_is_told_the_nearest(arguments, said):
    result = run(*arguments)
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
