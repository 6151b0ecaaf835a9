"""The family `classification`: cross-entropy with smoothed labels (Szegedy et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

from sslcore.testing.losses.classification_mutants import CONTROL, MUTANTS, SIGNALS
from sslcore.testing.losses.classification_properties import CLASSIFICATION_PROPERTIES
from sslcore.testing.losses.draws import fixed, hypers, irregular, tensors
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.extremes import HUGE, TINY
from sslcore.testing.losses.family import Family, Hyper, HyperRange, register_family

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean over views and images of (1 − ε)(m − z_y) + ε/K Σ_k (m − z_k).

    m is the logarithm of the sum of the exponentials of an image's logits z.
    """
    smoothing = hyper["label_smoothing"]
    losses = []
    for view in inputs["logits"]:
        for row, label in zip(view, inputs["labels"].tolist(), strict=True):
            surprise = row.logsumexp(0) - row
            losses.append((1 - smoothing) * surprise[label] + smoothing * surprise.mean())
    return torch.stack(losses).mean()


# Examples


def logits_of(
    logits: Tensor, labels: Tensor, smoothing: float = 0.1, geometry: str = ""
) -> Example:
    """Return an example of logits (V, B, K) and labels (B,)."""
    return Example({"logits": logits, "labels": labels}, {"label_smoothing": smoothing}, geometry)


#: What is special about drawn logits; plain ones first, since examples shrink to them.
_GEOMETRIES = ("plain", "plain", "uniform", "right", "wrong", "tied", "all of one class")


def near(drawn: Tensor, labels: Tensor, geometry: str) -> Tensor:
    """Return logits with a geometry, from drawn numbers."""
    target = torch.nn.functional.one_hot(labels, drawn.shape[-1]).to(drawn)
    if geometry == "uniform":
        return drawn[..., :1].expand_as(drawn).clone()
    if geometry == "right":
        return drawn + 8 * target
    if geometry == "wrong":
        return drawn - 8 * target
    if geometry == "tied":
        return drawn.round()
    return drawn


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of logits (V, B, K) and labels, with hyperparameters."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        views, count, classes = (draw(st.integers(1, most)) for most in (2, 5, 5))
        geometry = draw(st.sampled_from(_GEOMETRIES))
        labels = torch.tensor([draw(st.integers(0, classes - 1)) for _ in range(count)])
        if geometry == "all of one class":
            labels = labels[:1].expand(count).clone()
        logits = near(draw(tensors(views, count, classes)), labels, geometry)
        if draw(st.booleans()):
            logits = logits + irregular(*logits.shape)
        return Example({"logits": logits, "labels": labels}, draw(hypers(ranges)), geometry)

    return drawn()


_SIZES = (
    (1, 2, 2),
    (1, 3, 3),
    (2, 2, 3),
    (2, 3, 4),
    (1, 4, 1),
    (3, 5, 10),
    (2, 33, 7),
    (1, 130, 3),
    (1, 300, 2),
    (1, 2, 1030),
)
_SMOOTHINGS = (0.1, 0.0, 0.4)


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first."""
    found = []
    for position, (views, count, classes) in enumerate(_SIZES):
        logits = 2 * fixed("classification", views, count, classes)
        # Neighbours differ, and no class has exactly its share.
        labels = (torch.arange(count) * 2 + torch.arange(count) // 3) % classes
        found.append(logits_of(logits, labels, _SMOOTHINGS[position % len(_SMOOTHINGS)]))
    sure = near(found[3].inputs["logits"] + 200, found[3].inputs["labels"], "right")
    certain = logits_of(sure, found[3].inputs["labels"], 0.1, "right, and far from zero")
    return [*found[:4], certain, *found[4:]]


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return logits near the limits of a type."""
    labels = torch.tensor([0, 2, 1, 2])
    logits = fixed("classification", 1, 4, 3)
    largest = logits.abs().max()
    target = torch.nn.functional.one_hot(labels, 3)[None].double()
    return {
        "zeros": logits_of(torch.zeros_like(logits), labels),
        "huge logits": logits_of(logits * (HUGE[dtype] / largest), labels),
        "tiny logits": logits_of(logits * (TINY[dtype] / largest), labels),
        "a huge number for every class": logits_of(torch.full_like(logits, HUGE[dtype]), labels),
        "huge and right": logits_of(HUGE[dtype] * target, labels),
        "huge and wrong": logits_of(-HUGE[dtype] * target, labels),
    }


def malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return logits and labels whose shapes don't match."""
    logits, labels = inputs["logits"], inputs["labels"]
    return {
        "another number of labels": {**inputs, "labels": labels[:-1]},
        "one label against several images": {**inputs, "labels": labels[:1]},
        "several labels against one image": {**inputs, "logits": logits[:, :1]},
        "labels of each view": {**inputs, "labels": labels.expand(len(logits), -1)},
        "no dimension of views": {**inputs, "logits": logits[0]},
        "no classes": {**inputs, "logits": logits[..., :0]},
        "an empty batch": {"logits": logits[:, :0], "labels": labels[:0]},
    }


def plain_calls(inputs: Inputs) -> Sequence[tuple[Tensor, ...]]:
    """Return the one call of a function of logits (N, K) and labels (N,), all views together."""
    logits = inputs["logits"]
    return [(logits.flatten(0, 1), inputs["labels"].repeat(len(logits)))]


def plain_malformed(inputs: Inputs) -> Mapping[str, tuple[Tensor, ...]]:
    """Return logits and labels that a function of two tensors must refuse."""
    ((logits, labels),) = plain_calls(inputs)
    return {
        "another number of labels": (logits, labels[:-1]),
        "one label against several images": (logits, labels[:1]),
        "several labels against one image": (logits[:1], labels),
        "no classes": (logits[:, :0], labels),
        "an empty batch": (logits[:0], labels[:0]),
    }


def _gradient_scale(inputs: Inputs, hyper: Hyper) -> Mapping[str, Tensor]:
    """Return one over the number of rows, since probabilities are rounded near 1."""
    return {"logits": torch.tensor(1 / inputs["logits"].shape[:2].numel())}


CLASSIFICATION = register_family(
    Family(
        name="classification",
        summary="Cross-entropy of logits and labels, with or without label smoothing",
        signals=SIGNALS,
        reference=reference,
        # A loss without this parameter does not smooth.
        hyper={"label_smoothing": HyperRange(0.0, (0.1, 0.0, 0.4), 0.0, 0.9)},
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=tuple(degenerate("float64")),
        malformed=malformed,
        trainable=("logits",),
        plain=plain_calls,
        plain_names=("input", "target"),
        plain_malformed=plain_malformed,
        scale=lambda inputs, hyper: float(inputs["logits"].abs().max()),
        gradient_scale=_gradient_scale,
        properties=CLASSIFICATION_PROPERTIES,
        mutants=MUTANTS,
        control=CONTROL,
    )
)
