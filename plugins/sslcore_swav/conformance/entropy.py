"""The family of the cross-entropy to clusters, for the conformance kit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing import Example, Family, HyperRange, Mutant, declare, register_family
from sslcore.testing.losses.common_mutants import Loss, careful, common_mutants
from sslcore.testing.losses.draws import fixed, hypers, irregular, tensors
from sslcore.testing.losses.invariances import (
    decomposes_over_samples,
    sample_permutation,
    unchanged,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Inputs = dict[str, Tensor]
Hyper = Mapping[str, float]

SIGNALS = ("cosines", "clusters")
#: (V, B, R, K, τ), small ones first.
_SIZES = ((1, 2, 1, 2, 0.5), (2, 2, 1, 3, 0.1), (2, 3, 2, 4, 1.0), (3, 5, 2, 5, 0.2))


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean over views, images and runs of log Σ_k e^(s_k / τ) − s_c / τ."""
    cosines, clusters = inputs["cosines"], inputs["clusters"]
    losses = []
    for view, image, run in torch.cartesian_prod(
        *(torch.arange(size) for size in (*cosines.shape[:2], cosines.shape[2]))
    ).tolist():
        logits = cosines[view, image, run] / hyper["temperature"]
        losses.append(logits.logsumexp(0) - logits[int(clusters[0, image, run])])
    return torch.stack(losses).mean()


# Examples


def _clusters(count: int, runs: int, clusters: int) -> Tensor:
    index = torch.arange(count * runs)
    return ((index * 2 + index // 3) % clusters).view(1, count, runs)


def example_of(cosines: Tensor, temperature: float = 0.1, geometry: str = "") -> Example:
    """Return an example of cosines (V, B, R, K)."""
    inputs = dict(zip(SIGNALS, (cosines, _clusters(*cosines.shape[1:])), strict=True))
    return Example(inputs, {"temperature": temperature}, geometry)


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of ordinary examples."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        views, runs, clusters = (draw(st.integers(1, most)) for most in (2, 2, 4))
        count = draw(st.integers(2, 4))
        cosines = draw(tensors(views, count, runs, clusters)) / 4
        if draw(st.booleans()):
            cosines = cosines + irregular(*cosines.shape)
        return example_of(cosines).with_hyper(**draw(hypers(ranges)))

    return drawn()


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first."""
    return [
        example_of(fixed("clusters", *shape).tanh(), temperature) for *shape, temperature in _SIZES
    ]


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return cosines at their limits."""
    cosines = fixed("clusters", 2, 3, 2, 4)
    return {
        "zeros": example_of(cosines * 0),
        "at the limits": example_of(cosines.sign()),
        "a low temperature": example_of(cosines.sign(), 1e-3),
    }


def malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return signals whose shapes or types don't match."""
    cosines, clusters = inputs["cosines"], inputs["clusters"]
    return {
        "another number of images": {**inputs, "clusters": clusters[:, :0]},
        "clusters of no view": {**inputs, "clusters": clusters[0]},
        "another number of runs": {**inputs, "clusters": torch.cat([clusters] * 2, -1)},
        "cosines of one run": {**inputs, "cosines": cosines[:, :, 0]},
        "clusters that are no numbers": {**inputs, "clusters": clusters.double()},
        "an empty batch": {name: item[:, :0] for name, item in inputs.items()},
    }


# Properties


@declare(
    "equal-cosines-give-log-k",
    "CE1",
    formula="equal cosines with all centroids: L = log K; one cosine of 1 among zeros: "
    "L = log(e^(1/τ) + K − 1) − 1/τ for its own cluster, and 1/τ more for another one",
    kills="a sum for a mean, another normalisation, a temperature that is missing or multiplied",
    anchors=anchors,
)
def equal_cosines(subject: LossSubject, example: Example) -> None:
    cosines, clusters = example.inputs["cosines"], example.inputs["clusters"]
    count, sharp = cosines.shape[-1], 1 / example.hyper["temperature"]
    target = F.one_hot(clusters, count).to(cosines).expand_as(cosines).clone()
    right = math.log1p((count - 1) * math.exp(-sharp))
    for what, given, expected in (
        ("equal cosines", torch.zeros_like(cosines), math.log(count)),
        ("its own centroid", target, right),
        ("another centroid", target.roll(1, -1), right + sharp),
    ):
        item = example.with_inputs(cosines=given)
        tolerance = 2 * subject.tolerance(item, expected)
        subject.compare(subject.value(item), expected, tolerance, item, what)


def _shifted(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    cosines = example.inputs["cosines"]
    moved = cosines + irregular(*cosines.shape[:3])[..., None]
    yield "with the cosines of each row shifted", example.with_inputs(cosines=moved)


def _renamed(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    cosines, clusters = example.inputs["cosines"], example.inputs["clusters"]
    named = (clusters + 1) % cosines.shape[-1]
    yield (
        "with the clusters numbered otherwise",
        example.with_inputs(cosines=cosines.roll(1, -1), clusters=named),
    )


def _in_other_runs(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    moved = {name: example.inputs[name].flip(2) for name in SIGNALS}
    yield "with the runs in another order", example.with_inputs(**moved)


shift_of_each_row = unchanged(
    "shift-of-each-row",
    "CE2",
    formula="L(s_i + a_i) = L(s_i) for numbers a_i",
    kills="a missing softmax, a softmax along another dimension",
    moves=_shifted,
)
names_of_clusters = unchanged(
    "names-of-clusters",
    "CE3",
    formula="L is the same with the clusters numbered otherwise",
    kills="clusters that count by their number",
    moves=_renamed,
)
order_of_runs = unchanged(
    "order-of-runs",
    "CE4",
    formula="L is the same with the runs of k-means in another order",
    kills="runs that count by position",
    moves=_in_other_runs,
)


# Broken variants


def _refuse(inputs: Inputs) -> None:
    cosines, clusters = inputs["cosines"], inputs["clusters"]
    if cosines.dim() != 4 or clusters.shape != (1, *cosines.shape[1:3]) or not cosines.numel():
        raise ValueError("cosines must be (V, B, R, K) and clusters (1, B, R)")
    if clusters.dtype != torch.int64:
        raise ValueError("clusters must be int64")


def _surprises(cosines: Tensor, clusters: Tensor, temperature: float, dim: int = -1) -> Tensor:
    logs = (cosines / temperature).log_softmax(dim)
    places = clusters.expand(len(cosines), -1, -1)[..., None]
    return -logs.gather(-1, places)[..., 0]


def _with(
    *,
    change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda s, c: (s, c),
    temperature: Callable[[float], float] = lambda t: t,
    reduction: Callable[[Tensor], Tensor] = lambda x: x.mean(),
    dim: int = -1,
) -> Loss:
    """Return the loss (V, B, R) with a piece of it replaced."""

    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        given = change(inputs["cosines"], inputs["clusters"])
        return reduction(_surprises(*given, temperature(hyper["temperature"]), dim))

    return careful(loss, _refuse)


MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_with(), SIGNALS, "cosines"),
    Mutant("next-cluster", loss=_with(change=lambda s, c: (s, (c + 1) % s.shape[-1]))),
    Mutant("clusters-of-the-next-image", loss=_with(change=lambda s, c: (s, c.roll(1, 1)))),
    Mutant(
        "clusters-of-the-first-run", loss=_with(change=lambda s, c: (s, c[..., :1].expand_as(c)))
    ),
    Mutant("temperature-missing", loss=_with(temperature=lambda t: 1.0)),
    Mutant("temperature-multiplied", loss=_with(temperature=lambda t: 1 / t)),
    Mutant("softmax-over-images", loss=_with(dim=1)),
    Mutant("sum-over-runs", loss=_with(reduction=lambda x: x.sum(2).mean())),
    Mutant("sum-over-views", loss=_with(reduction=lambda x: x.sum(0).mean())),
    Mutant("sum-over-images", loss=_with(reduction=lambda x: x.sum(1).mean())),
    Mutant("last-image-dropped", loss=_with(reduction=lambda x: x[:, :-1].mean())),
    Mutant("first-view-only", loss=_with(reduction=lambda x: x[0].mean())),
    Mutant("first-run-only", loss=_with(reduction=lambda x: x[..., 0].mean())),
    Mutant("hardest-image-only", loss=_with(reduction=lambda x: x.amax(1).mean())),
    Mutant(
        "first-cluster-counts-twice",
        loss=_with(change=lambda s, c: (torch.cat([s[..., :1] + 0.05, s[..., 1:]], -1), c)),
    ),
)

CLUSTER_ENTROPY = register_family(
    Family(
        name="cluster-entropy",
        summary="Cross-entropy of each view to the clusters of its image",
        signals=SIGNALS,
        reference=reference,
        hyper={"temperature": HyperRange(0.1, (0.1, 0.5, 1.0), 0.05, 2.0, required=True)},
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=("zeros", "at the limits", "a low temperature"),
        malformed=malformed,
        trainable=("cosines",),
        scale=lambda inputs, hyper: 2 * float(inputs["cosines"].abs().max()) / hyper["temperature"],
        gradient_scale=lambda inputs, hyper: {
            "cosines": torch.tensor(
                inputs["cosines"].shape[-1] / (hyper["temperature"] * inputs["cosines"].numel())
            )
        },
        properties=(
            equal_cosines,
            shift_of_each_row,
            names_of_clusters,
            order_of_runs,
            sample_permutation("CE5"),
            decomposes_over_samples("CE6"),
        ),
        mutants=MUTANTS,
        control=Mutant("no-fault", loss=_with()),
    )
)
