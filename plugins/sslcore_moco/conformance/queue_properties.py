"""Properties of losses against a queue: its contents over time, and its effect on the value."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from sslcore.testing import Violation
from sslcore.testing.losses.arithmetic import log1p_exp
from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.invariances import (
    decomposes_over_samples,
    sample_permutation,
    scale_of_each_row,
    view_swap,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import examples
from sslcore.testing.property import Property, declare
from sslcore_moco.conformance.examples import Signals, small_anchors, unit
from sslcore_moco.conformance.queue_runs import BATCHES, QueueRuns
from sslcore_moco.queue import first_queue

Reference = Callable[..., Tensor]

#: A queue keeps its keys in float32, whatever the type of the batch.
_EPS = torch.finfo(torch.float32).eps


def _keys_tolerance(example: Example) -> float:
    """Return how far L may be off if its negatives are rounded as in a queue."""
    return 8 * _EPS * (1 + 4 / example.hyper["temperature"])


def queue_properties(
    signals: Signals, reference: Reference, *, symmetric: bool
) -> tuple[Property, ...]:
    """Return the properties.

    Args:
        signals: makes examples.
        reference: the loss of inputs against the rows of a queue.
        symmetric: whether the second view also queries the first.
    """
    runs = QueueRuns(signals)
    batch, used, filled, value = runs.batch, runs.used, runs.filled, runs.value
    sized = {
        "applies": lambda subject: (
            "" if "queue_size" in subject.takes else "make takes no queue_size"
        )
    }

    @declare(
        "first-in-first-out",
        "MQ1",
        formula="batch by batch, L equals the loss against a deque of the last K keys that starts "
        "with the queue's first rows and appends a batch's keys after its score",
        kills="a queue that is not updated, in another order, or too early; keys dropped at its "
        "end",
        anchors=lambda subject: [
            subject.adapt(signals.anchors()[1].with_hyper(queue_size=size)) for size in (7, 1, 4)
        ],
    )
    def first_in_first_out(subject: LossSubject, example: Example) -> None:
        loss, temperature = subject.make(example), example.hyper["temperature"]
        dim = signals.of(example)[1].shape[-1]
        size = int(example.hyper["queue_size"])
        queue = deque(first_queue(size, dim).double(), maxlen=size)
        for step in range(2 * len(BATCHES)):
            given = batch(example, step)
            expected = reference(given.inputs, temperature, list(queue), symmetric=symmetric)
            got = value(subject, loss, given)
            said = f"L of batch {step + 1}, for a queue of {size}"
            subject.compare(got, float(expected), _keys_tolerance(given), given, said)
            keys = unit(signals.of(given)[1]).float().double()
            queue.extend(keys.flatten(0, 1) if symmetric else keys[1])

    @declare(
        "order-of-the-queue-does-not-matter",
        "MQ2",
        formula="L is the same for every order of the keys in the queue",
        kills="negatives weighted by position, a part of the queue that is left out",
        anchors=small_anchors,
        **sized,
    )
    def order_does_not_matter(subject: LossSubject, example: Example) -> None:
        keys = fixed("queue", 6, signals.of(example)[0].shape[-1])
        expected = value(subject, filled(subject, example, keys), example)
        for order in (torch.arange(6).roll(1), torch.arange(6).flip(0)):
            got = value(subject, filled(subject, example, keys[order]), example)
            said = f"with the queue in the order {order.tolist()}"
            subject.compare(got, expected, _keys_tolerance(example), example, said)

    @declare(
        "closed-form",
        "MQ3",
        formula="keys at cosine s to their queries, the K queued ones at ρ: "
        "L = log(1 + K e^((ρ − s)/τ))",
        kills="a key left out of the denominator, temperature missing, inverted or applied twice",
        anchors=lambda subject: [
            subject.adapt(_at_cosines(signals, own, queued, temperature))
            for own, queued in ((1.0, 0.0), (0.5, -0.25), (0.0, 0.0), (-1.0, 1.0), (0.25, 0.5))
            for temperature in (0.2, 1.0)
        ],
        **sized,
    )
    def closed_form(subject: LossSubject, example: Example) -> None:
        gap = (example.case["queued"] - example.case["own"]) / example.hyper["temperature"]
        queued = _direction(example.case["queued"], 2)
        for size in (1, 5):
            loss = filled(subject, example, queued.expand(size, -1))
            expected = log1p_exp(math.log(size) + gap)
            said = f"{example.geometry}, {size} in the queue"
            got = value(subject, loss, example)
            subject.compare(got, expected, _keys_tolerance(example), example, said)

    @declare(
        "hardest-negative-bounds",
        "MQ4",
        formula="h ≤ τL ≤ h + τ log(K + 1), h the mean of (highest cosine − the key's); and "
        "|L − log(K + 1)| ≤ 2/τ, so that L → log(K + 1) as τ grows",
        kills="nearly any wrong term: a wrong sign, a sum instead of a mean, another number of "
        "negatives",
        anchors=lambda subject: [
            example.with_hyper(temperature=temperature)
            for example in small_anchors(subject)
            for temperature in (example.hyper["temperature"], 100.0, 0.01)
            if "temperature" in subject.takes or temperature == example.hyper["temperature"]
        ],
        examples=examples,
        max_examples=15,
    )
    def hardest_negative_bounds(subject: LossSubject, example: Example) -> None:
        queries, keys = (unit(item) for item in signals.of(example))
        size, temperature = int(example.hyper["queue_size"]), example.hyper["temperature"]
        own = (queries * keys.flip(0)).sum(-1, keepdim=True)
        queue = first_queue(size, queries.shape[-1]).double()
        gaps = torch.cat([own, queries @ queue.T], -1).amax(-1, keepdim=True) - own
        hardest = float(gaps.mean() if symmetric else gaps[0].mean())
        got, room = subject.value(example), math.log(size + 1)
        slack = subject.tolerance(example, got) * max(1.0, temperature)
        subject.at_most(hardest, temperature * got, slack, example, "h, below τL")
        subject.at_most(temperature * got, hardest + temperature * room, slack, example, "τL")
        off = abs(got - room)
        # The queue's rows are of unit length within a rounding.
        bound = 2 * (1 + _EPS) / temperature
        subject.at_most(off, bound, subject.tolerance(example, got), example, "|L − log(K + 1)|")

    @declare(
        "earlier-batches-get-no-gradient",
        "MQ5",
        formula="∂L/∂x = 0 for every x of an earlier batch; and ∂L/∂q of a batch is the same "
        "after later batches were scored",
        kills="keys queued with their graph, a queue that is overwritten before it is used",
        anchors=small_anchors,
    )
    def earlier_batches_get_no_gradient(subject: LossSubject, example: Example) -> None:
        loss = subject.make(example)
        first = example.with_inputs(
            **{name: item.clone().requires_grad_() for name, item in example.inputs.items()}
        )
        score = subject.call(loss, first)
        later = batch(example, 1)
        leaf = signals.of(later)[0].clone().requires_grad_()
        second = subject.call(loss, signals.moved(later, leaf, signals.of(later)[1]))
        found = torch.autograd.grad(second, list(first.inputs.values()), allow_unused=True)
        for name, gradient in zip(first.inputs, found, strict=True):
            if gradient is not None and bool((gradient != 0).any()):
                raise subject.violation(f"gradient reaches {name} of an earlier batch", example)
        got = subject.backward(score, first)
        _, wanted = subject.gradients(example)
        for name, gradient in got.items():
            if not torch.allclose(gradient, wanted[name], rtol=1e-9, atol=1e-12):
                said = f"∂L/∂{name} differs after later batches were scored"
                raise subject.violation(said, example)

    @declare(
        "only-the-second-view-is-a-key",
        "MQ6",
        formula="L and its gradient do not depend on q₂ and k₁, nor do they in later batches",
        kills="views swapped, a view against itself, an extra direction, other keys queued",
        anchors=small_anchors,
        applies=lambda subject: "the loss has both directions" if symmetric else "",
    )
    def only_the_second_view(subject: LossSubject, example: Example) -> None:
        queries, keys = (item.clone() for item in signals.of(example))
        queries[1], keys[0] = 2 * queries[1].flip(-1) + 0.25, 0.5 - keys[0].flip(-1)
        moved = signals.moved(example, queries, keys)
        loss, other = subject.make(example), subject.make(example)
        expected, got = value(subject, loss, example), value(subject, other, moved)
        tolerance = subject.tolerance(example, expected)
        subject.compare(got, expected, tolerance, moved, "with another q₂ and k₁")
        later = batch(example, 1)
        expected, got = value(subject, loss, later), value(subject, other, later)
        subject.compare(got, expected, _keys_tolerance(later), later, "in the next batch")
        _, found = subject.gradients(example)
        largest = float(found[signals.names[0]][1].abs().max())
        subject.at_most(largest, 0.0, 0.0, example, "∂L/∂q₂")

    @declare(
        "state-is-in-the-checkpoint",
        "MQ7",
        formula="a new loss with the state of another, through safetensors, continues with the "
        "same bits",
        kills="a queue or a position that is not a buffer, or not persistent",
        anchors=lambda subject: small_anchors(subject)[:3],
    )
    def state_is_in_the_checkpoint(subject: LossSubject, example: Example) -> None:
        loss, other = used(subject, example), subject.make(example)
        if not isinstance(loss, nn.Module):
            raise Violation(
                "the loss is not a torch.nn.Module, so checkpoints don't contain its queue"
            )
        other.load_state_dict(load(save(loss.state_dict())))
        for step in range(2, 6):
            given = batch(example, step)
            expected, got = value(subject, loss, given), value(subject, other, given)
            if expected != got:
                said = f"{step - 1} batches after resuming: {got!r} instead of {expected!r}"
                raise subject.violation(said, given)

    @declare(
        "stands-still-in-eval-mode",
        "MQ8",
        formula="a call in eval mode does not change the queue",
        kills="images of an evaluation become negatives",
        anchors=lambda subject: small_anchors(subject)[:3],
    )
    def stands_still_in_eval_mode(subject: LossSubject, example: Example) -> None:
        loss, other = used(subject, example), used(subject, example)
        if not isinstance(loss, nn.Module):
            raise Violation("the loss is not a torch.nn.Module, so it has no eval mode")
        value(subject, other.eval(), batch(example, 4))
        expected, got = value(subject, loss, example), value(subject, other.train(), example)
        subject.compare(got, expected, 0.0, example, "after a batch in eval mode")

    @declare(
        "rotated-together",
        "MQ9",
        formula="L(q Q, k Q) = L(q, k) for orthogonal Q, with the queued keys rotated too",
        kills="one entry treated differently, another norm",
        anchors=small_anchors,
        **sized,
    )
    def rotated_together(subject: LossSubject, example: Example) -> None:
        dim = signals.of(example)[0].shape[-1]
        turn, keys = torch.linalg.qr(fixed("rotation", dim, dim))[0], fixed("queue", 5, dim)
        expected = value(subject, filled(subject, example, keys), example)
        moved = signals.moved(example, *(item @ turn for item in signals.of(example)))
        got = value(subject, filled(subject, example, keys @ turn), moved)
        subject.compare(got, expected, 2 * _keys_tolerance(example), moved, "rotated")

    @declare(
        "gradient-is-tangential",
        "MQ10",
        formula="⟨∂L/∂q_i, q_i⟩ = 0",
        kills="a norm that is detached, a term outside the normalisation",
        anchors=small_anchors,
        examples=examples,
        max_examples=10,
    )
    def gradient_is_tangential(subject: LossSubject, example: Example) -> None:
        score, found = subject.gradients(example)
        name = signals.names[0]
        radial = float((found[name] * example.inputs[name]).sum(-1).abs().max())
        tolerance = 4 * subject.tolerance(example, float(score))
        subject.at_most(radial, 0.0, tolerance, example, "⟨∂L/∂q, q⟩")

    return (
        first_in_first_out,
        order_does_not_matter,
        closed_form,
        hardest_negative_bounds,
        earlier_batches_get_no_gradient,
        only_the_second_view,
        state_is_in_the_checkpoint,
        stands_still_in_eval_mode,
        rotated_together,
        gradient_is_tangential,
        sample_permutation("MQ11", anchors=small_anchors),
        scale_of_each_row("MQ12", anchors=small_anchors),
        decomposes_over_samples("MQ13", anchors=small_anchors),
        view_swap(
            "MQ14",
            anchors=small_anchors,
            applies=lambda subject: "" if symmetric else "the loss has one direction",
        ),
    )


def _direction(cosine: float, axis: int) -> Tensor:
    """Return a unit vector (4,) at a cosine to the first axis, in the plane with another axis."""
    rows = torch.zeros(4, dtype=torch.float64)
    rows[0], rows[axis] = cosine, math.sqrt(1 - cosine**2)
    return rows


def _at_cosines(signals: Signals, own: float, queued: float, temperature: float) -> Example:
    """Return three queries along the first axis, of any length, with keys at a cosine to it."""
    scales = torch.tensor([1.0, 0.5, 3.0], dtype=torch.float64)[:, None]
    queries = (_direction(1.0, 1) * scales).expand(2, -1, -1).clone()
    keys = (_direction(own, 1) * scales.flip(0)).expand(2, -1, -1).clone()
    said = f"keys at {own:g}, queued ones at {queued:g}"
    return signals.example(queries, keys, temperature, said, own=own, queued=queued)
