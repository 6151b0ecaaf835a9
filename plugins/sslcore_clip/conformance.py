"""The family of CLIP's loss, for the conformance kit (Radford et al. 2021, figure 3).

It takes the examples of the family `infonce-symmetric`, whose two views are an image and a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sslcore.testing import Example, Family, HyperRange, Mutant, declare, families, register_family
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

Inputs = dict[str, Tensor]
Hyper = Mapping[str, float]

_SYMMETRIC = next(family for family in families() if family.name == "infonce-symmetric")


def _split(pairs: Mapping[str, Tensor]) -> Inputs:
    first = pairs["projections"]
    return {"projections": first[:1], "text_projections": first[1:]}


def _joined(inputs: Mapping[str, Tensor]) -> Inputs:
    images, texts = inputs["projections"], inputs["text_projections"]
    if images.dim() != 3 or texts.shape != images.shape or len(images) != 1:
        raise ValueError("expected images and texts of shape (1, B, D)")
    return {"projections": torch.cat((images, texts))}


def _of_pair(example: Example) -> Example:
    return replace(example, inputs=_split(example.inputs))


def _drawn(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    return _SYMMETRIC.examples(ranges).map(_of_pair)


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean cross-entropy of the rows and the columns of the cosines divided by τ."""
    images, texts = (
        rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
        for rows in (inputs["projections"][0], inputs["text_projections"][0])
    )
    logits = images @ texts.T / hyper["temperature"]
    found = [
        table[row].logsumexp(0) - table[row, row]
        for table in (logits, logits.T)
        for row in range(len(table))
    ]
    return torch.stack(found).mean()


def _gradient_scale(inputs: Inputs, hyper: Hyper) -> Mapping[str, Tensor]:
    sizes = _SYMMETRIC.gradient_scale(_joined(inputs), hyper)
    return _split(sizes)


def _malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return projections of images and texts that are not of one shape."""
    images, texts = inputs["projections"], inputs["text_projections"]
    wrong = {
        "fewer texts than images": (images, texts[:, :-1]),
        "another dimension": (images, texts[..., :-1]),
        "two texts for each image": (images, texts.repeat(2, 1, 1)),
        "no dimension of views": (images[0], texts[0]),
        "an empty batch": (images[:, :0], texts[:, :0]),
        "one image": (images[:, :1], texts[:, :1]),
    }
    return {
        what: {"projections": first, "text_projections": second}
        for what, (first, second) in wrong.items()
    }


@declare(
    "images-and-texts-alike",
    "T1",
    formula="L(images, texts) = L(texts, images)",
    kills="one direction only, directions weighted",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def images_and_texts_alike(subject: LossSubject, example: Example) -> None:
    expected = subject.value(example)
    exchanged = example.with_inputs(
        projections=example.inputs["text_projections"],
        text_projections=example.inputs["projections"],
    )
    tolerance = 2 * subject.tolerance(example, expected)
    subject.compare(subject.value(exchanged), expected, tolerance, exchanged, "exchanged")


@declare(
    "pairs-in-any-order",
    "T2",
    formula="the loss does not depend on the order of the pairs",
    kills="texts of the next image, the last pair left out",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def pairs_in_any_order(subject: LossSubject, example: Example) -> None:
    expected = subject.value(example)
    rolled = example.with_inputs(**{name: item.roll(1, 1) for name, item in example.inputs.items()})
    tolerance = 2 * subject.tolerance(example, expected)
    subject.compare(subject.value(rolled), expected, tolerance, rolled, "in another order")


def _over(mutant: Mutant) -> Mutant:
    loss: Callable[[Inputs, Hyper], object] | None = mutant.loss
    assert loss is not None
    return replace(mutant, loss=lambda inputs, hyper: loss(_joined(inputs), hyper))


CLIP = register_family(
    Family(
        name="clip",
        summary="Find the text of each image in the batch, and the image of each text, by cosine",
        signals=("projections", "text_projections"),
        reference=reference,
        hyper=_SYMMETRIC.hyper,
        examples=_drawn,
        anchors=lambda: [_of_pair(example) for example in _SYMMETRIC.anchors()],
        degenerate=lambda dtype: {
            what: _of_pair(example) for what, example in _SYMMETRIC.degenerate(dtype).items()
        },
        degenerate_gradient=_SYMMETRIC.degenerate_gradient,
        malformed=_malformed,
        trainable=("projections", "text_projections"),
        scale=lambda inputs, hyper: _SYMMETRIC.scale(_joined(inputs), hyper),
        gradient_scale=_gradient_scale,
        properties=(images_and_texts_alike, pairs_in_any_order),
        mutants=tuple(_over(each) for each in _SYMMETRIC.mutants if each.loss is not None),
        control=Mutant("no-fault", reference),
    )
)
