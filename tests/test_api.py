"""From Python, a mistake is answered with where the thing belongs."""

from __future__ import annotations

import os

import pytest

import sslcore
from sslcore.api import make_recipe
from sslcore.errors import UsageError


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({"epochs": 1}, "no argument 'epochs': say settings={'training': {'epochs': 1}}"),
        ({"lr": 0.1}, "no argument 'lr': say settings={'optimizer': {'lr': 0.1}}"),
        ({"encodr": "cnn4"}, "no argument 'encodr'; nearest: encoder"),
        ({"temperature": 0.2}, "settings go by section, as in {'loss': {'temperature': 0.2}}"),
    ],
)
def test_an_argument_that_train_does_not_have_is_answered_with_where_it_belongs(argument, said):
    with pytest.raises(UsageError) as refused:
        sslcore.train("autoencoder", **argument)
    assert said in str(refused.value)
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss.temperature": 0.2}, "as in {'loss': {'temperature': 0.2}}, got {'loss.temp"),
        ({"temperature": 0.2}, "as in {'loss': {'temperature': 0.2}}, got {'temperature'"),
        (["loss.temperature=0.2"], "expected ('loss', 'temperature', 0.2), got 'loss.temp"),
        ([("loss", "temperature")], "expected ('loss', 'temperature', 0.2), got ('loss',"),
    ],
)
def test_settings_in_another_form_are_answered_with_the_form_they_have(settings, said):
    with pytest.raises(UsageError) as refused:
        make_recipe("simclr", settings=settings)
    assert said in str(refused.value)


def test_settings_by_section_and_as_triples_are_the_same():
    by_section, _ = make_recipe("simclr", settings={"loss": {"temperature": 0.2}})
    triples, _ = make_recipe("simclr", settings=[("loss", "temperature", 0.2)])
    assert by_section == triples
    assert by_section.loss.settings["temperature"] == 0.2
