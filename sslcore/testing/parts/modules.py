"""Properties that encoders and heads share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from sslcore.testing.parts import module_checks
from sslcore.testing.parts.module_subject import ModuleSubject
from sslcore.testing.parts.settings import settings_at_bounds, settings_strategy
from sslcore.testing.parts.subject import PartExample, Refused, states_bounds
from sslcore.testing.property import Property

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Follows = Callable[[ModuleSubject, PartExample], None]


@dataclass(frozen=True)
class Shared:
    """The shared properties of a kind.

    Attributes:
        letter: of their codes.
        follows: raises a violation if outputs break the kind's contract.
        anchors: examples at the spec's settings.
    """

    letter: str
    follows: Follows
    anchors: Callable[[Any], Sequence[PartExample]]

    def properties(self) -> tuple[Property, ...]:
        """Return them."""
        return tuple(
            Property(
                name,
                f"{self.letter}{number}",
                formula,
                kills,
                check,
                anchors=self.anchors,
            )
            for number, (name, formula, kills, check) in enumerate(_SHARED, start=4)
        )

    def contract(self, formula: str, kills: str) -> tuple[Property, ...]:
        """Return the properties that run `follows`, at the spec's settings and at others."""

        def check(subject: Any, example: PartExample) -> None:
            self.follows(subject, example)

        def at_bounds(subject: Any, example: PartExample) -> None:
            for settings in settings_at_bounds(subject.interface, fixed=subject.spec.settings):
                try:
                    self.follows(subject, replace(example, settings=settings, drawn=True))
                except Refused:
                    continue

        return (
            Property(
                "outputs-follow-the-contract",
                f"{self.letter}1",
                formula,
                kills,
                check,
                anchors=self.anchors,
            ),
            Property(
                "settings-at-their-bounds-work",
                f"{self.letter}2",
                f"at each bound that a setting's annotation states, {self.letter}1 holds or "
                "ValueError is raised",
                "a width of 1, an empty list of layers, a rate of 0 or 1 that the author did not "
                "consider",
                at_bounds,
                anchors=lambda subject: self.anchors(subject)[:1],
                applies=states_bounds,
            ),
            Property(
                "drawn-settings-work",
                f"{self.letter}3",
                "at settings within their annotations (any number, if no bound is stated), "
                f"{self.letter}1 holds or ValueError is raised",
                "combinations of settings that the author did not consider",
                check,
                examples=_drawn,
                max_examples=8,
                applies=_draws,
            ),
        )


def _draws(subject: Any) -> str:
    if not subject.interface.settings:
        return "it has no settings"
    return "" if subject.spec.draw else "the spec says to draw none (draw=False)"


def _drawn(subject: Any) -> SearchStrategy[PartExample]:
    channels = getattr(subject.spec, "channels", 1)
    return st.builds(
        PartExample,
        settings=settings_strategy(subject.interface, fixed=subject.spec.settings),
        channels=st.sampled_from(channels) if isinstance(channels, Sequence) else st.just(channels),
        batch=st.integers(2, 3),
        drawn=st.just(True),
    )


_SHARED: tuple[tuple[str, str, str, Any], ...] = (
    (
        "an-image-is-on-its-own",
        "in eval mode the outputs of an image depend on that image only: f(x[i]) = f(x)[i] for "
        "any part and order of the batch, a batch of one included",
        "statistics of the batch in eval mode, a squeeze, a reshape that mixes rows",
        module_checks.any_batch,
    ),
    (
        "a-call-leaves-state-alone",
        "a call changes no buffer in eval mode, and no weight or input in any mode",
        "a running statistic that is updated in eval mode, an in-place first layer",
        module_checks.leaves_state,
    ),
    (
        "evaluation-repeats",
        "in eval mode the same inputs give the same bits in any state of the global generators",
        "dropout in eval mode, noise, a call counter",
        module_checks.repeats,
    ),
    (
        "state-is-complete",
        "a new module with the state of another, through safetensors, gives the same bits",
        "a tensor that is not a buffer, a buffer that is not persistent, weights in a plain list",
        module_checks.round_trip,
    ),
    (
        "a-copy-is-its-own",
        "a deep copy gives the same outputs, and shares no weights with the original",
        "a closure over the original's layers, a weight kept outside the module",
        module_checks.copy_is_its_own,
    ),
    (
        "gradient-reaches-everything",
        "∂/∂w ≠ 0, finite, for every trainable weight and every input",
        "a layer that is not used, a detach, a weight under no_grad",
        module_checks.gradients,
    ),
    (
        "seeded-weights",
        "initial weights are a function of torch's seed only",
        "numpy or Python random numbers in the initialisation, weights that depend on earlier "
        "instances",
        module_checks.seeded,
    ),
)
