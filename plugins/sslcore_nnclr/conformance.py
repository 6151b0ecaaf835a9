"""The family of NNCLR's loss, for the conformance kit; it needs the extra `sslcore[test]`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor, nn

from sslcore.testing import Example, Family, HyperRange, Violation, declare, register_family
from sslcore.testing.losses.draws import fixed, hypers, irregular, shaped, tensors
from sslcore.testing.losses.extremes import HUGE, TINY
from sslcore.testing.losses.invariances import sample_permutation, scale_of_each_row, view_swap
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore_nnclr.loss import first_queue
from sslcore_nnclr.mutants import CONTROL, MUTANTS, SIGNALS

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Inputs = dict[str, Tensor]
Hyper = Mapping[str, float]

#: A queue keeps its rows in float32, whatever the type of the batch.
_EPS = torch.finfo(torch.float32).eps
_GEOMETRIES = ("plain", "plain", "two images alike", "all alike", "of very different lengths")
#: (B, D, τ), small ones first.
_SIZES = (
    (2, 2, 0.5),
    (2, 3, 1.0),
    (3, 4, 0.2),
    (4, 3, 0.1),
    (5, 8, 0.1),
    (7, 2, 2.0),
    (33, 5, 0.5),
)


@dataclass(frozen=True)
class WholeRange(HyperRange):
    """A hyperparameter of whole numbers."""

    def strategy(self) -> SearchStrategy[float]:
        """Return a strategy over the values and the range."""
        drawn = st.integers(int(self.low), int(self.high))
        return st.one_of(st.sampled_from(self.values), drawn)


def _unit(rows: Tensor) -> Tensor:
    result: Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return result


def against_queue(inputs: Inputs, temperature: float, queue: Sequence[Tensor]) -> Tensor:
    """Return the mean over images and ordered pairs of views, image by image.

    Args:
        inputs: projections and predictions, (V, B, D) each.
        temperature: τ.
        queue: rows of unit length.
    """
    projections, predictions = inputs["projections"].detach(), inputs["predictions"]
    rows, losses = torch.stack(list(queue)), []
    for own, other in permutations(range(len(projections)), 2):
        wanted = _unit(predictions[other])
        for position, row in enumerate(_unit(projections[own])):
            near = rows[(rows @ row).argmax()]
            gaps = (wanted - wanted[position]) @ near
            losses.append((gaps / temperature).logsumexp(0))
    return torch.stack(losses).mean()


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the loss of a first batch, whose neighbours are the queue's first rows."""
    dim = inputs["projections"].shape[-1]
    queue = first_queue(int(hyper["queue_size"]), dim).double()
    return against_queue(inputs, hyper["temperature"], [*queue])


# Examples


def example_of(
    projections: Tensor, predictions: Tensor, temperature: float = 0.5, geometry: str = ""
) -> Example:
    """Return an example of projections and predictions, (2, B, D) each."""
    inputs = dict(zip(SIGNALS, (projections, predictions), strict=True))
    return Example(inputs, {"temperature": temperature, "queue_size": 8}, geometry)


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of ordinary examples."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        count, dim = draw(st.integers(2, 5)), draw(st.integers(1, 5))
        geometry = draw(st.sampled_from(_GEOMETRIES))
        first, second = draw(tensors(2, 2, count, dim))
        # Without symmetry, no two rows of the queue are equally near.
        found = shaped(first, geometry) + irregular(*first.shape)
        given = example_of(found, shaped(second, geometry), geometry=geometry)
        return given.with_hyper(**draw(hypers(ranges)))

    return drawn()


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first."""
    found = []
    for count, dim, temperature in _SIZES:
        projections, predictions = fixed("nnclr", 2, 2, count, dim)
        found.append(example_of(projections, predictions, temperature))
    return found


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return rows that are zero, huge or tiny in a type."""
    found, wanted = fixed("nnclr", 2, 2, 4, 5)
    zero_found, zero_wanted = found.clone(), wanted.clone()
    zero_found[0, 1] = zero_wanted[1, 3] = 0
    largest = max(found.abs().max(), wanted.abs().max())
    huge, tiny = HUGE[dtype] / largest, TINY[dtype] / largest
    return {
        "a zero row": example_of(zero_found, zero_wanted),
        "all rows zero": example_of(found * 0, wanted * 0),
        "a low temperature": example_of(found, wanted, 1e-3 if dtype == "float64" else 0.02),
        "huge rows": example_of(found * huge, wanted * huge),
        "tiny rows": example_of(found * tiny, wanted * tiny),
    }


def malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return projections and predictions whose shapes don't match."""
    found, wanted = inputs["projections"], inputs["predictions"]
    return {
        "another number of samples": {**inputs, "predictions": wanted[:, :-1]},
        "one view against two": {**inputs, "predictions": wanted[:1]},
        "another dimension": {**inputs, "predictions": wanted[..., :-1]},
        "no dimension of views": {**inputs, "predictions": wanted[0]},
        "one view": {name: item[:1] for name, item in inputs.items()},
        "one image": {name: item[:, :1] for name, item in inputs.items()},
        "an empty batch": {name: item[:, :0] for name, item in inputs.items()},
        "another dimension than the queue": {
            "projections": found[..., :-1],
            "predictions": wanted[..., :-1],
        },
    }


def _gradient_scale(inputs: Inputs, hyper: Hyper) -> Mapping[str, Tensor]:
    """Return 2/(τB‖p‖) for each row, a bound on its gradient."""
    wanted = inputs["predictions"]
    lengths = wanted.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return {"predictions": 2 / (hyper["temperature"] * wanted.shape[1] * lengths)}


# Properties


def _batch(example: Example, step: int) -> Example:
    """Return another batch of the same dimension, of 2, 3 or 5 images."""
    dim = example.inputs["projections"].shape[-1]
    found, wanted = fixed(f"batch {step}", 2, 2, (2, 5, 3)[step % 3], dim)
    return example.with_inputs(projections=found, predictions=wanted)


def _value(subject: LossSubject, loss: object, example: Example) -> float:
    return float(subject.call(loss, example))


def _few(subject: LossSubject) -> Sequence[Example]:
    return anchors(subject)[:3]


def _module(subject: LossSubject, example: Example) -> nn.Module:
    """Return a loss that has scored two batches."""
    loss = subject.make(example)
    if not isinstance(loss, nn.Module):
        raise Violation("the loss is not a torch.nn.Module, so checkpoints don't contain its queue")
    for step in range(2):
        _value(subject, loss, _batch(example, step))
    return loss


@declare(
    "first-in-first-out",
    "NN1",
    formula="batch by batch, L equals the loss against a deque of the last K projections of first "
    "views, which starts with the queue's first rows and grows after the score",
    kills="a queue that is not updated, in another order, too early, or with other rows",
    anchors=lambda subject: [
        subject.adapt(fixed_examples()[1].with_hyper(queue_size=size)) for size in (7, 1, 4)
    ],
)
def first_in_first_out(subject: LossSubject, example: Example) -> None:
    size, temperature = int(example.hyper["queue_size"]), example.hyper["temperature"]
    loss = subject.make(example)
    queue = deque(first_queue(size, example.inputs["projections"].shape[-1]).double(), maxlen=size)
    for step in range(6):
        given = _batch(example, step)
        expected = float(against_queue(given.inputs, temperature, list(queue)))
        tolerance = 8 * _EPS * (1 + 4 / temperature)
        got = _value(subject, loss, given)
        subject.compare(got, expected, tolerance, given, f"L of batch {step + 1}, K = {size}")
        queue.extend(_unit(given.inputs["projections"][0]).float().double())


@declare(
    "predictions-alike-give-log-b",
    "NN2",
    formula="equal predictions of all images: L = log B; and |L − log B| ≤ 2/τ for all inputs",
    kills="a sum for a mean, a term left out of the denominator, a factor",
    anchors=anchors,
    examples=examples,
    max_examples=10,
)
def predictions_alike_give_log_b(subject: LossSubject, example: Example) -> None:
    wanted = example.inputs["predictions"]
    room = math.log(wanted.shape[1])
    alike = example.with_inputs(predictions=wanted[:1, :1].expand_as(wanted).clone())
    tolerance = 2 * subject.tolerance(alike, room)
    subject.compare(subject.value(alike), room, tolerance, alike, "predictions all alike")
    off = abs(subject.value(example) - room)
    bound = 2 / example.hyper["temperature"]
    subject.at_most(off, bound, subject.tolerance(example, bound), example, "|L − log B|")


@declare(
    "only-the-neighbour-counts",
    "NN3",
    formula="L does not depend on the projections while their neighbours stay, as for K = 1",
    kills="projections compared in place of their neighbours, a neighbour that is mixed in",
    anchors=lambda subject: [item.with_hyper(queue_size=1) for item in _few(subject)],
)
def only_the_neighbour_counts(subject: LossSubject, example: Example) -> None:
    moved = example.with_inputs(projections=example.inputs["projections"].flip(-1) + 0.5)
    expected = subject.value(example)
    tolerance = 2 * subject.tolerance(example, expected)
    subject.compare(subject.value(moved), expected, tolerance, moved, "with other projections")


@declare(
    "state-is-in-the-checkpoint",
    "NN4",
    formula="a new loss with the state of another, through safetensors, continues with the same "
    "bits; a call in eval mode changes nothing",
    kills="a queue or a position that is not a buffer, or that moves in eval mode",
    anchors=_few,
)
def state_is_in_the_checkpoint(subject: LossSubject, example: Example) -> None:
    loss, other = _module(subject, example), subject.make(example)
    other.load_state_dict(load(save(loss.state_dict())))
    _value(subject, other.eval(), _batch(example, 7))
    other.train()
    for step in range(2, 6):
        given = _batch(example, step)
        expected, got = _value(subject, loss, given), _value(subject, other, given)
        if expected != got:
            said = f"{step - 1} batches after resuming: {got!r} instead of {expected!r}"
            raise subject.violation(said, given)


NNCLR = register_family(
    Family(
        name="nnclr",
        summary="Identify an image's prediction by the nearest neighbour of its other view",
        signals=SIGNALS,
        reference=reference,
        hyper={
            "temperature": HyperRange(0.1, (0.5, 0.1, 1.0, 0.2, 2.0), 0.05, 5.0, required=True),
            "queue_size": WholeRange(8, (8, 1, 3, 12), 1, 9, required=True),
        },
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=("a zero row", "all rows zero", "a low temperature"),
        malformed=malformed,
        trainable=("predictions",),
        stop_gradient=("projections",),
        scale=lambda inputs, hyper: 2 / hyper["temperature"],
        gradient_scale=_gradient_scale,
        properties=(
            first_in_first_out,
            predictions_alike_give_log_b,
            only_the_neighbour_counts,
            state_is_in_the_checkpoint,
            sample_permutation("NN5"),
            scale_of_each_row("NN6"),
            view_swap("NN7"),
        ),
        mutants=MUTANTS,
        control=CONTROL,
        stateful=True,
        facts={"symmetric": True},
    )
)
