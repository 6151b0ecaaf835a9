"""Whether a data set holds out images for testing: where evaluators will score them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sslcore.contract.holding_out import HELD_OUT, TEST_FRACTION
from sslcore.contract.interface import Interface
from sslcore.contract.settings import Setting


def held_out(
    known: Mapping[str, Setting], evaluators: Iterable[Interface], *, elsewhere: bool
) -> dict[str, object]:
    """Return the settings of a data set that follow from what evaluators use.

    Args:
        known: the settings of the data set.
        evaluators: the interfaces of the evaluators.
        elsewhere: whether evaluators use other images, so that training may use all of these.
    """
    if TEST_FRACTION not in known:
        return {}
    setting = known[TEST_FRACTION]
    if elsewhere:
        value: float | None = 0.0
    else:
        # With labels, a data set holds out a part by itself.
        scored = any(needs_test(each.needs) and not needs_labels(each.needs) for each in evaluators)
        value = HELD_OUT if scored and setting.default is None else None
    if value is None:
        return {}
    try:
        setting.validate(value)
    except ValueError:
        # This data set means another thing by the name, or always holds out a part.
        return {}
    return {TEST_FRACTION: value}


def needs_labels(asked: Iterable[str]) -> bool:
    """Whether an evaluator that asks for these inputs needs labels."""
    return any(name.endswith("_labels") for name in asked)


def needs_test(asked: Iterable[str]) -> bool:
    """Whether an evaluator that asks for these inputs needs test images."""
    return any(name.startswith("test_") or name == "reconstructions" for name in asked)
