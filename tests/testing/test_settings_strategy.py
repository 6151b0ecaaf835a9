"""Settings drawn from annotations are within them, and their bounds are among them."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen, MultipleOf
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from sslcore.contract.interface import Interface, interface_of
from sslcore.contract.settings import REQUIRED, Setting
from sslcore.registry.registry import default_registry
from sslcore.testing import settings_strategy
from sslcore.testing.parts import settings_at_bounds

#: What is looked for can't shrink, and trying to takes minutes now and then.
NO_SHRINKING = settings(phases=[Phase.generate], max_examples=2000, database=None, deadline=None)

_COMPONENTS = [
    entry
    for kind in ("augmentation", "encoder", "head", "loss", "evaluator", "dataset")
    for entry in default_registry().entries(kind)
    if entry.origin.shipped
]


@pytest.mark.parametrize("entry", _COMPONENTS, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_settings_of_a_shipped_component_are_such_as_a_user_may_give(entry):
    interface = entry.interface()

    @settings(deadline=None, max_examples=20, database=None)
    @given(settings_strategy(interface))
    def valid(drawn):
        for name, value in drawn.items():
            assert interface.settings[name].validate(value) == value

    valid()
    for at_bound in settings_at_bounds(interface):
        for name, value in at_bound.items():
            assert interface.settings[name].validate(value) == value


def _interface(**annotations):
    return Interface({name: Setting(name, each, REQUIRED) for name, each in annotations.items()})


@pytest.mark.parametrize(
    ("annotation", "edges"),
    [
        (Annotated[float, Ge(0), Le(1)], [0.0, 1.0]),
        (Annotated[float, Interval(ge=0, le=2)], [0.0, 2.0]),
        (Annotated[int, Ge(2)], [2]),
        (Annotated[int, Gt(2), Lt(5)], [3, 4]),
        (bool, [False, True]),
        (Literal["a", "b"], ["a", "b"]),
        (Annotated[int, Ge(1)] | None, [1, None]),
        (tuple[Annotated[int, Ge(1)], ...], [(), (1,), (1,) * 6]),
        (Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(2)], [(1, 1), (1,) * 6]),
        (tuple[Annotated[float, Ge(0), Le(1)], Annotated[float, Ge(0), Le(1)]], [(0, 0), (1, 1)]),
        (str, []),
    ],
    ids=str,
)
def test_the_bounds_of_an_annotation_are_tried(annotation, edges):
    interface = _interface(value=annotation)
    assert [each["value"] for each in settings_at_bounds(interface)] == edges
    for edge in edges:
        found = find(
            settings_strategy(interface),
            lambda drawn: drawn.get("value", ...) == edge,  # noqa: B023
            settings=NO_SHRINKING,
        )
        assert found == {"value": edge}


def test_a_bound_that_is_open_is_approached():
    interface = _interface(value=Annotated[float, Gt(0), Lt(1)])
    low, high = (each["value"] for each in settings_at_bounds(interface))
    assert 0 < low < 0.01
    assert 0.99 < high < 1


@settings(deadline=None, max_examples=30, database=None)
@given(st.data())
def test_multiples_stay_multiples(data):
    interface = _interface(value=Annotated[int, Ge(4), Le(24), MultipleOf(4)])
    assert data.draw(settings_strategy(interface)).get("value", 4) in range(4, 25, 4)


@settings(deadline=None, max_examples=30, database=None)
@given(st.data())
def test_what_is_fixed_stays_and_text_is_left_alone(data):
    def function(*, path: str = "x", width: Annotated[int, Ge(1)] = 3, flag: bool = False):
        pass

    drawn = data.draw(settings_strategy(interface_of(function), fixed={"width": 7}))
    assert drawn["width"] == 7
    assert drawn.keys() <= {"width", "flag"}


def test_what_would_fetch_weights_is_left_at_its_default():
    interface = _interface(pretrained=bool, deep=bool)
    assert settings_at_bounds(interface) == [{"deep": False}, {"deep": True}]

    @settings(deadline=None, max_examples=20, database=None)
    @given(settings_strategy(interface))
    def fetches_nothing(drawn):
        assert "pretrained" not in drawn

    fetches_nothing()
