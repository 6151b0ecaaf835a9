"""Properties of losses that contrast queries with a teacher's keys of the batch, both ways.

Papers differ in a factor c of the mean over both directions: c = 4τ if the directions are summed
and each is multiplied by 2τ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sslcore.testing.losses.arithmetic import log1p_exp
from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.invariances import (
    joint_rotation,
    sample_permutation,
    scale_of_each_row,
    view_swap,
    zero_padding,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import examples
from sslcore.testing.property import Property, declare
from sslcore_moco.conformance.examples import Signals, small_anchors, unit


def _at_temperatures(subject: LossSubject) -> Sequence[Example]:
    if "temperature" not in subject.takes:
        return small_anchors(subject)
    found = [*small_anchors(subject)]
    return [*found, *(item.with_hyper(temperature=t) for item in found[:4] for t in (0.01, 100.0))]


def _at_cosines(signals: Signals, own: float, other: float, temperature: float) -> Example:
    """Return three queries with cosine `own` to their keys and `other` to the other keys."""
    count = 3
    queries = torch.eye(count, 2 * count, dtype=torch.float64)
    keys = torch.zeros_like(queries)
    keys[:, :count] = other
    keys[:, :count].fill_diagonal_(own)
    keys[:, count:].fill_diagonal_(math.sqrt(1 - own**2 - (count - 1) * other**2))
    both = (queries.expand(2, -1, -1).clone(), keys.expand(2, -1, -1).clone())
    said = f"keys at {own:g}, those of others at {other:g}"
    return signals.example(*both, temperature, said, own=own, other=other)


def batch_properties(signals: Signals) -> tuple[Property, ...]:
    """Return the properties; `signals` makes examples."""

    def factor(subject: LossSubject, example: Example) -> float:
        """Return c, from the reference at equal rows."""
        alike = torch.ones(2, 2, 1, dtype=torch.float64)
        given = signals.moved(example, alike, alike.clone())
        return subject.reference(given) / math.log(2)

    @declare(
        "closed-form",
        "MB1",
        formula="keys at cosine s to their queries, those of the N − 1 others at ρ: "
        "L = c log(1 + (N − 1) e^((ρ − s)/τ)); all rows alike: L = c log N",
        kills="temperature missing, inverted or applied twice; a key left out or counted twice",
        anchors=lambda subject: [
            subject.adapt(_at_cosines(signals, own, other, temperature))
            for own, other in ((1.0, 0.0), (0.5, -0.25), (0.0, 0.0), (-0.5, 0.5), (0.25, 0.5))
            for temperature in (0.2, 1.0)
        ],
    )
    def closed_form(subject: LossSubject, example: Example) -> None:
        c = factor(subject, example)
        count = signals.of(example)[0].shape[1]
        gap = (example.case["other"] - example.case["own"]) / example.hyper["temperature"]
        expected = c * log1p_exp(math.log(count - 1) + gap)
        tolerance = 4 * subject.tolerance(example, expected)
        subject.compare(subject.value(example), expected, tolerance, example, example.geometry)
        alike = [item[:1, :1].expand_as(item).clone() for item in signals.of(example)]
        given, expected = signals.moved(example, *alike), c * math.log(count)
        subject.compare(subject.value(given), expected, tolerance, given, "all rows alike")

    @declare(
        "hardest-negative-bounds",
        "MB2",
        formula="h ≤ τL/c ≤ h + τ log N, h the mean of (highest cosine − the key's); and "
        "|L/c − log N| ≤ 2/τ, so that L/c → log N as τ grows",
        kills="nearly any wrong term: a wrong sign, a sum instead of a mean, the same view's keys",
        anchors=_at_temperatures,
        examples=examples,
        max_examples=15,
    )
    def hardest_negative_bounds(subject: LossSubject, example: Example) -> None:
        queries, keys = (unit(item) for item in signals.of(example))
        cosines = queries @ keys.flip(0).mT
        own = cosines.diagonal(dim1=-2, dim2=-1)
        hardest = float((cosines.amax(-1) - own).mean())
        c, temperature = factor(subject, example), example.hyper["temperature"]
        room = math.log(queries.shape[1])
        got = subject.value(example) / c
        slack = subject.tolerance(example, got) * max(1.0, temperature / min(c, 1.0))
        subject.at_most(hardest, temperature * got, slack, example, "h, below τL/c")
        subject.at_most(temperature * got, hardest + temperature * room, slack, example, "τL/c")
        off = abs(got - room)
        allowed = subject.tolerance(example, got) / min(c, 1.0)
        subject.at_most(off, 2 / temperature, allowed, example, "|L/c − log N|")

    @declare(
        "deranging-raises",
        "MB3",
        formula="L of orthonormal pairs is lower than L of the same pairs with deranged keys",
        kills="a wrong sign, no positive term, keys of other images",
        anchors=lambda subject: [
            subject.adapt(_at_cosines(signals, 1.0, 0.0, temperature)) for temperature in (0.2, 1.0)
        ],
    )
    def deranging_raises(subject: LossSubject, example: Example) -> None:
        queries, keys = signals.of(example)
        apart_example = signals.moved(example, queries, keys.roll(1, 1))
        together, apart = subject.value(example), subject.value(apart_example)
        subject.at_most(
            together, apart - 1e-6, 0.0, apart_example, "L, against L with deranged keys"
        )

    @declare(
        "mean-over-rolls",
        "MB4",
        formula="the mean over k of L(q, roll(keys, k)) is at least c log N",
        kills="the query's key left out of the denominator",
        anchors=small_anchors,
        examples=examples,
        max_examples=10,
    )
    def mean_over_rolls(subject: LossSubject, example: Example) -> None:
        queries, keys = signals.of(example)
        count = queries.shape[1]
        values = [
            subject.value(signals.moved(example, queries, keys.roll(shift, 1)))
            for shift in range(count)
        ]
        tolerance = subject.tolerance(example, max(values))
        least = factor(subject, example) * math.log(count)
        subject.at_most(-sum(values) / count, -least, tolerance, example, "−(the mean over rolls)")

    @declare(
        "views-are-crossed",
        "MB5",
        formula="∂L/∂q of a view depends on the keys of the other view, not of that view",
        kills="a view paired with itself, or with both, a direction that is left out",
        anchors=small_anchors,
    )
    def views_are_crossed(subject: LossSubject, example: Example) -> None:
        queries, keys = signals.of(example)
        if queries.shape[-1] < 2:
            return
        name = signals.names[0]
        score, found = subject.gradients(example)
        size = subject.family.gradient_scale(example.inputs, example.hyper)[name]
        tolerance = 4 * subject.tolerance(example, float(score))
        for view in (0, 1):
            moved = keys.clone()
            moved[view] = fixed("other keys", *keys.shape[1:])
            _, other = subject.gradients(signals.moved(example, queries, moved))
            off = ((other[name] - found[name]).abs() / size).amax((1, 2))
            said = f"change of ∂L/∂q in view {view}"
            subject.at_most(float(off[view]), 0.0, tolerance, example, said)
            if example.hyper["temperature"] >= 0.2:
                said = f"1e-6, against the change of ∂L/∂q in view {1 - view}"
                subject.at_most(1e-6, float(off[1 - view]), 0.0, example, said)

    @declare(
        "temperature-limit",
        "MB6",
        formula="τ → ∞: τ (L/c − log N) → mean of (mean cosine − the key's), within 1/(2τ)",
        kills="temperature clamped, inverted or applied twice; a weighted mean",
        anchors=small_anchors,
        applies=lambda subject: (
            "" if "temperature" in subject.takes else "make takes no temperature"
        ),
    )
    def temperature_limit(subject: LossSubject, example: Example) -> None:
        hot = example.with_hyper(temperature=1e3)
        queries, keys = (unit(item) for item in signals.of(example))
        cosines = queries @ keys.flip(0).mT
        expected = float((cosines.mean(-1) - cosines.diagonal(dim1=-2, dim2=-1)).mean())
        room = math.log(queries.shape[1])
        got = 1e3 * (subject.value(hot) / factor(subject, hot) - room)
        # Half the variance of the cosines, at most 1, over τ; a difference of logs rounds as well.
        subject.compare(got, expected, 5.1e-4, hot, "τ (L/c − log N) at τ = 1000")

    @declare(
        "gradient-is-tangential",
        "MB7",
        formula="⟨∂L/∂q_i, q_i⟩ = 0",
        kills="a norm that is detached, a term outside the normalisation",
        anchors=small_anchors,
        examples=examples,
        max_examples=10,
    )
    def gradient_is_tangential(subject: LossSubject, example: Example) -> None:
        score, found = subject.gradients(example)
        name = signals.names[0]
        radial: Tensor = (found[name] * example.inputs[name]).sum(-1).abs().max()
        tolerance = 4 * subject.tolerance(example, float(score))
        subject.at_most(float(radial), 0.0, tolerance, example, "⟨∂L/∂q, q⟩")

    return (
        closed_form,
        hardest_negative_bounds,
        deranging_raises,
        mean_over_rolls,
        views_are_crossed,
        temperature_limit,
        gradient_is_tangential,
        sample_permutation("MB8", anchors=small_anchors),
        view_swap("MB9", anchors=small_anchors),
        scale_of_each_row("MB10", anchors=small_anchors),
        joint_rotation("MB11", anchors=small_anchors),
        zero_padding("MB12", anchors=small_anchors),
    )
