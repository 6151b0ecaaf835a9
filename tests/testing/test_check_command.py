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
