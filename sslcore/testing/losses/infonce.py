"""The families of InfoNCE over pairs of views (van den Oord et al. 2018, equation 4).

One-directional (the first view queries the second) or symmetric, of cosines or of dot products.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sslcore.testing.losses import contrastive
from sslcore.testing.losses.contrastive import CONTRASTIVE
from sslcore.testing.losses.draws import GEOMETRIES, fixed, pairs
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import Family, Hyper, HyperRange, register_family
from sslcore.testing.losses.infonce_mutants import infonce_mutants
from sslcore.testing.losses.pair_examples import (
    MODERATE,
    pair_anchors,
    pair_degenerate,
    pair_malformed,
    pair_plain,
    pair_plain_malformed,
    pair_single,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples
from sslcore.testing.property import APPLIES, Property, declare

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: Values drawn for τ: ordinary ones first, then the extremes in use.
TEMPERATURE = HyperRange(0.5, (0.5, 1.0, 0.1, 0.2, 0.07, 2.0, 10.0), 0.05, 5.0, required=True)


def one_direction(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return the mean over i of log Σ_k exp((q_i·k_k − q_i·k_i)/τ), sample by sample.

    Written as a loop, so that it shares no indexing with the losses it is compared with.
    """
    if len(queries) > 12:
        similar = queries @ keys.T / temperature
        return (similar.logsumexp(1) - similar.diagonal()).mean()
    losses = []
    for query, key in zip(queries, keys, strict=True):
        gaps = torch.stack([query @ other - query @ key for other in keys])
        losses.append(torch.logsumexp(gaps / temperature, 0))
    return torch.stack(losses).mean()


def _unit(rows: Tensor) -> Tensor:
    result: Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return result


def _reference(symmetric: bool, cosine: bool) -> Callable[[Inputs, Hyper], Tensor]:
    def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
        first, second = _unit(inputs["projections"]) if cosine else inputs["projections"]
        forth = one_direction(first, second, hyper["temperature"])
        if not symmetric:
            return forth
        return (forth + one_direction(second, first, hyper["temperature"])) / 2

    return reference


def _candidates(symmetric: bool) -> Callable[[Tensor], Tensor]:
    def candidates(unit: Tensor) -> Tensor:
        """Return the similarities of each query with all keys, its own first."""
        similar = unit[0] @ unit[1].T
        count = len(similar)
        order = (torch.arange(count)[:, None] + torch.arange(count)) % count
        forth = similar.gather(1, order)
        return torch.cat([forth, similar.T.gather(1, order)]) if symmetric else forth

    return candidates


def _scale(cosine: bool) -> Callable[[Inputs, Hyper], float]:
    def scale(inputs: Inputs, hyper: Hyper) -> float:
        if cosine:
            return 2 / hyper["temperature"]
        first, second = inputs["projections"].abs()
        return float((first @ second.T).max()) / hyper["temperature"]

    return scale


def _gradient_scale(symmetric: bool, cosine: bool) -> Callable[[Inputs, Hyper], dict[str, Tensor]]:
    """Return, for each entry of the gradient, the sum of its terms' absolute values."""

    def gradient_scale(inputs: Inputs, hyper: Hyper) -> dict[str, Tensor]:
        pair = inputs["projections"]
        rows = _unit(pair) if cosine else pair
        similar = rows[0] @ rows[1].T / hyper["temperature"]
        own = torch.eye(len(similar), dtype=similar.dtype)
        weights = similar.softmax(1) + own
        if symmetric:
            weights = (weights + (similar.T.softmax(1) + own).T) / 2
        # The entries of unit rows are at most 1, also after a rotation.
        sizes = torch.ones_like(rows) if cosine else rows.abs()
        found = torch.stack([weights @ sizes[1], weights.T @ sizes[0]])
        lengths = pair.norm(dim=-1, keepdim=True).clamp_min(1e-300) if cosine else 1.0
        return {"projections": found / (hyper["temperature"] * len(similar) * lengths)}

    return gradient_scale


def _keys_alike(example: Example) -> Example:
    first, second = example.inputs["projections"]
    alike = second[:1].expand_as(second)
    return example.with_inputs(projections=torch.stack([first, alike]))


@declare(
    "keys-all-alike",
    "C8",
    formula="all rows of z₂ equal: L = log N; in the other direction, L = log Σ_i e^(s_i/τ) − "
    "mean s_i/τ; if L is symmetric, the mean of both",
    kills="the wrong direction, a direction that is left out, negatives of the query's own view",
    # Rounding errors of equal numbers add up if many are summed one by one.
    anchors=lambda subject: [_keys_alike(item) for item in anchors(subject) if item.size <= 400],
    examples=lambda subject: examples(subject).map(_keys_alike),
)
def keys_all_alike(subject: LossSubject, example: Example) -> None:
    pair = example.inputs["projections"]
    forth = torch.tensor(float(pair.shape[1]), dtype=torch.float64).log()
    expected = float(forth)
    if subject.family.facts["symmetric"]:
        rows = _unit(pair) if subject.family.facts["cosine"] else pair
        similar = rows[0] @ rows[1, 0] / example.hyper["temperature"]
        expected = float((forth + similar.logsumexp(0) - similar.mean()) / 2)
    tolerance = 2 * subject.tolerance(example, expected)
    subject.compare(subject.value(example), expected, tolerance, example, "with all keys alike")


@declare(
    "temperature-divides-dot-products",
    "C3",
    formula="L(a z₁, b z₂; τab) = L(z₁, z₂; τ)",
    kills="rows that are normalised, temperature missing, inverted or applied twice",
    anchors=anchors,
    examples=examples,
    applies=lambda subject: (
        APPLIES if "temperature" in subject.takes else "make takes no temperature"
    ),
)
def temperature_divides_dot_products(subject: LossSubject, example: Example) -> None:
    expected = subject.value(example)
    tolerance = 2 * subject.tolerance(example, expected)
    for first, second in ((2.0, 1.0), (1.0, 4.0), (0.5, 0.5)):
        factors = torch.tensor([first, second], dtype=torch.float64).view(2, 1, 1)
        moved = example.with_inputs(projections=example.inputs["projections"] * factors)
        moved = moved.with_hyper(temperature=example.hyper["temperature"] * first * second)
        what = f"with factors {first:g} and {second:g}"
        subject.compare(subject.value(moved), expected, tolerance, moved, what)


#: The shared properties that hold for rows of any length.
_OF_DOT_PRODUCTS: tuple[Property, ...] = (
    contrastive.joint_permutation,
    contrastive.view_swap,
    contrastive.joint_rotation,
    contrastive.zero_padding,
    contrastive.closed_form,
    contrastive.mean_over_rolls,
    contrastive.deranging_raises,
    contrastive.monotone_in_similarity,
    contrastive.mutual_information_bound,
    temperature_divides_dot_products,
    keys_all_alike,
)

_SHORT = tuple(item for item in GEOMETRIES if item != "of very different lengths")


def _pairs_of_moderate_length(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    return pairs(ranges, geometries=_SHORT)


def _degenerate(dtype: str) -> Mapping[str, Example]:
    """Return degenerate pairs; at this temperature a plain exponential overflows in every type."""
    found = dict(pair_degenerate(dtype))
    found["a low temperature"] = found["a low temperature"].with_hyper(temperature=0.001)
    return found


def _dot_anchors() -> Sequence[Example]:
    # A low temperature comes on top of dot products that are above 1 already.
    return [
        item.with_hyper(temperature=max(item.hyper["temperature"], 0.1)) for item in pair_anchors()
    ]


def _dot_degenerate(dtype: str) -> Mapping[str, Example]:
    """Return pairs with zero, tiny and long rows; the product of huge ones is in no type."""
    pair = fixed("pair", 2, 4, 5)
    found = _degenerate(dtype)
    kept = ("a zero row", "all rows zero", "tiny rows", "all rows alike", "a low temperature")
    lengths = 40.0 if dtype != "float64" else 100.0
    long = Example({"projections": pair / pair.abs().max() * lengths}, {"temperature": 0.5})
    return {"long rows": long, **{name: found[name] for name in kept}}


def _family(name: str, summary: str, *, symmetric: bool, cosine: bool) -> Family:
    return register_family(
        Family(
            name=name,
            summary=summary,
            signals=("projections",),
            reference=_reference(symmetric, cosine),
            hyper={"temperature": TEMPERATURE},
            examples=pairs if cosine else _pairs_of_moderate_length,
            anchors=pair_anchors if cosine else _dot_anchors,
            degenerate=_degenerate if cosine else _dot_degenerate,
            degenerate_gradient=(*MODERATE, *(() if cosine else ("long rows", "tiny rows"))),
            single=pair_single,
            malformed=pair_malformed,
            trainable=("projections",),
            plain=pair_plain,
            plain_names=("z1", "z2"),
            plain_malformed=pair_plain_malformed,
            scale=_scale(cosine),
            gradient_scale=_gradient_scale(symmetric, cosine),
            properties=(*CONTRASTIVE, keys_all_alike) if cosine else _OF_DOT_PRODUCTS,
            mutants=infonce_mutants(symmetric=symmetric, cosine=cosine),
            facts={
                "symmetric": symmetric,
                "cosine": cosine,
                "negatives": lambda count: count - 1,
                "candidates": _candidates(symmetric),
                "bounds_information": True,
            },
        )
    )


INFONCE = _family(
    "infonce",
    "Find an image's second view among those of the batch, by cosine",
    symmetric=False,
    cosine=True,
)
INFONCE_SYMMETRIC = _family(
    "infonce-symmetric",
    "Find each view of an image among the other views of the batch, by cosine",
    symmetric=True,
    cosine=True,
)
INFONCE_DOT = _family(
    "infonce-dot",
    "Find an image's second view among those of the batch, by dot product",
    symmetric=False,
    cosine=False,
)
INFONCE_DOT_SYMMETRIC = _family(
    "infonce-dot-symmetric",
    "Find each view of an image among the other views of the batch, by dot product",
    symmetric=True,
    cosine=False,
)
