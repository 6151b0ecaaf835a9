"""In the Python API, the message of a misplaced argument names its correct place."""

from __future__ import annotations

import inspect

import pytest

import sslcore
from sslcore.api import make_recipe
from sslcore.errors import UsageError


def test_every_argument_is_spelled_out_so_that_editors_complete_it():
    for function in (sslcore.train, sslcore.evaluate, sslcore.load_encoder, make_recipe):
        parameters = inspect.signature(function).parameters.values()
        assert all(each.kind is not each.VAR_KEYWORD for each in parameters), function
        assert all(each.annotation is not each.empty for each in parameters), function
    asked = inspect.signature(make_recipe).parameters
    assert asked.keys() <= inspect.signature(sslcore.train).parameters.keys()


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
