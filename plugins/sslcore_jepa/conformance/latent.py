"""The family of I-JEPA's loss, for the conformance kit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing import Example, Family, HyperRange, Mutant, declare, register_family
from sslcore.testing.losses.common_mutants import careful, common_mutants
from sslcore.testing.losses.draws import fixed, irregular, tensors
from sslcore.testing.losses.extremes import TINY
from sslcore.testing.losses.invariances import (
    decomposes_over_samples,
    sample_permutation,
    unchanged,
)
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Inputs = dict[str, Tensor]
Hyper = Mapping[str, float]

SIGNALS = ("target_predictions", "teacher_tokens", "target_positions")
#: Added to the variance of a token, as torch's layer norm does.
_EPSILON = 1e-5
#: (V, B, M, P, L, F), small ones first.
_SIZES = ((1, 1, 1, 1, 2, 2), (1, 2, 2, 2, 4, 3), (2, 3, 1, 4, 9, 5), (1, 5, 4, 3, 16, 8))


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean of d(x − y) over all entries, patch by patch.

    A loop over patches, so that it shares no indexing with the loss.
    """
    predictions, tokens, positions = (inputs[name] for name in SIGNALS)
    losses = []
    for view, image, block, patch in torch.cartesian_prod(
        *(torch.arange(size) for size in positions.shape)
    ).tolist():
        token = tokens[view, image, 1 + int(positions[view, image, block, patch])].detach()
        centred = token - token.mean()
        wanted = centred / (centred.square().mean() + _EPSILON).sqrt()
        off = (predictions[view, image, block, patch] - wanted).abs()
        losses.append(torch.where(off < 1, off.square() / 2, off - 0.5).mean())
    return torch.stack(losses).mean()


# Examples


def example_of(predictions: Tensor, tokens: Tensor, positions: Tensor) -> Example:
    """Return an example of predictions, a teacher's tokens, and positions."""
    return Example(dict(zip(SIGNALS, (predictions, tokens, positions), strict=True)))


def _positions(views: int, count: int, blocks: int, patches: int, places: int) -> Tensor:
    index = torch.arange(views * count * blocks * patches)
    return ((index * 7 + index // 3) % places).view(views, count, blocks, patches)


def drawn_examples(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    """Return a strategy of ordinary examples."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        count, blocks, patches = (draw(st.integers(1, 2)) for _ in range(3))
        places, width = draw(st.integers(1, 4)), draw(st.integers(2, 4))
        predictions = draw(tensors(1, count, blocks, patches, width))
        tokens = draw(tensors(1, count, 1 + places, width))
        # Without symmetry, so that no token is constant.
        tokens = tokens + irregular(*tokens.shape)
        positions = _positions(1, count, blocks, patches, places)
        return example_of(predictions + irregular(*predictions.shape), tokens, positions)

    return drawn()


def fixed_examples() -> Sequence[Example]:
    """Return fixed examples, small ones first."""
    return [
        example_of(
            fixed("latent", views, count, blocks, patches, width),
            fixed("tokens", views, count, 1 + places, width),
            _positions(views, count, blocks, patches, places),
        )
        for views, count, blocks, patches, places, width in _SIZES
    ]


def degenerate(dtype: str) -> Mapping[str, Example]:
    """Return tokens and predictions that are zero, constant or tiny."""
    given = fixed_examples()[1]
    predictions, tokens = (given.inputs[name] for name in SIGNALS[:2])
    tiny = TINY[dtype] / tokens.abs().max()
    return {
        "all zero": given.with_inputs(
            target_predictions=predictions * 0, teacher_tokens=tokens * 0
        ),
        "constant tokens": given.with_inputs(teacher_tokens=torch.ones_like(tokens)),
        "tiny tokens": given.with_inputs(teacher_tokens=tokens * tiny),
    }


def malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return signals whose shapes don't match."""
    predictions, tokens, positions = (inputs[name] for name in SIGNALS)
    return {
        "another number of images": {**inputs, "teacher_tokens": tokens[:, :0]},
        "another width": {**inputs, "teacher_tokens": tokens[..., :-1]},
        "tokens of no view": {**inputs, "teacher_tokens": tokens[0]},
        "another number of patches": {**inputs, "target_positions": positions[..., :0]},
        "positions of one block": {**inputs, "target_positions": positions[:, :, 0]},
        "predictions of one block": {**inputs, "target_predictions": predictions[:, :, 0]},
        "an empty batch": {name: item[:, :0] for name, item in inputs.items()},
    }


def wanted_of(example: Example) -> Tensor:
    """Return the tokens that would be predicted without error, (V, B, M, P, F)."""
    tokens, positions = example.inputs["teacher_tokens"][:, :, 1:], example.inputs[SIGNALS[2]]
    exact = F.layer_norm(tokens, tokens.shape[-1:], eps=_EPSILON)
    return torch.stack(
        [
            torch.stack([rows[where] for rows, where in zip(*both, strict=True)])
            for both in zip(exact, positions, strict=True)
        ]
    )


# Properties


@declare(
    "distance-from-normalised-tokens",
    "LP1",
    formula="predictions at a distance r in every entry: L = r²/2 where |r| < 1, else |r| − 1/2",
    kills="tokens that are not normalised, or of other places; another distance; a sum for a mean",
    anchors=anchors,
)
def distance(subject: LossSubject, example: Example) -> None:
    wanted = wanted_of(example)
    for off in (0.0, 0.5, -0.25, 3.0, -8.0):
        given = example.with_inputs(target_predictions=wanted + off)
        expected = off**2 / 2 if abs(off) < 1 else abs(off) - 0.5
        tolerance = 4 * subject.tolerance(given, expected)
        subject.compare(subject.value(given), expected, tolerance, given, f"at a distance of {off}")


@declare(
    "gradient-is-bounded",
    "LP2",
    formula="|∂L/∂x| ≤ 1/n for each of n entries, with equality far from the target",
    kills="a squared distance, a scaled gradient",
    anchors=anchors,
    examples=examples,
    max_examples=8,
)
def gradient_is_bounded(subject: LossSubject, example: Example) -> None:
    predictions = example.inputs["target_predictions"]
    score, found = subject.gradients(example)
    largest = float(found["target_predictions"].abs().max()) * predictions.numel()
    tolerance = 4 * subject.tolerance(example, float(score))
    subject.at_most(largest, 1.0, tolerance, example, "n |∂L/∂x|")
    far = example.with_inputs(target_predictions=predictions + 50)
    score, found = subject.gradients(far)
    least = float(found["target_predictions"].min()) * predictions.numel()
    subject.at_most(1.0, least, 4 * subject.tolerance(far, float(score)), far, "1, below n ∂L/∂x")


def _moved_tokens(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    tokens = example.inputs["teacher_tokens"]
    shift = (torch.arange(tokens.shape[:3].numel()) % 5 - 2).double().view(*tokens.shape[:3], 1)
    yield "with a number added to each token", example.with_inputs(teacher_tokens=tokens + shift)
    other = tokens.clone()
    other[:, :, 0] = 3 * other[:, :, 0].flip(-1) + 1
    yield "with another class token", example.with_inputs(teacher_tokens=other)


# Broken variants


def _refuse(inputs: Inputs) -> None:
    predictions, tokens, positions = (inputs[name] for name in SIGNALS)
    shape = predictions.shape
    if predictions.dim() != 5 or not predictions.numel() or positions.shape != shape[:4]:
        raise ValueError("predictions must be (V, B, M, P, F)")
    if tokens.dim() != 4 or tokens.shape[:2] != shape[:2] or tokens.shape[3] != shape[4]:
        raise ValueError("tokens must be (V, B, 1 + L, F)")


def _normalised(tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:])


def _of(
    score: Callable[[Tensor, Tensor], Tensor] = lambda x, y: F.smooth_l1_loss(x, y),
    prepare: Callable[[Tensor], Tensor] = _normalised,
    at: Callable[[Tensor, int], Tensor] = lambda positions, places: positions,
    stop: bool = True,
) -> Callable[[Inputs, Hyper], Tensor]:
    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        predictions, tokens, positions = (inputs[name] for name in SIGNALS)
        rows = prepare(tokens.detach() if stop else tokens)[:, :, 1:]
        where = at(positions, rows.shape[2]).flatten(2)[..., None]
        wanted = rows.gather(2, where.expand(-1, -1, -1, rows.shape[-1]))
        return score(predictions, wanted.unflatten(2, positions.shape[2:]))

    return careful(loss, _refuse)


_CORRECT = _of()
_CONTROL = Mutant("no-fault", _CORRECT)
_MUTANTS = (
    *common_mutants(_CORRECT, SIGNALS, "target_predictions"),
    Mutant("squared-distance", _of(lambda x, y: F.mse_loss(x, y) / 2)),
    Mutant("absolute-distance", _of(lambda x, y: F.l1_loss(x, y))),
    Mutant("another-threshold", _of(lambda x, y: F.smooth_l1_loss(x, y, beta=0.5))),
    Mutant("sum-over-entries", _of(lambda x, y: F.smooth_l1_loss(x, y) * x.shape[-1])),
    Mutant("last-image-dropped", _of(lambda x, y: F.smooth_l1_loss(x[:, -1:], y[:, -1:]))),
    Mutant("first-block-only", _of(lambda x, y: F.smooth_l1_loss(x[:, :, :1], y[:, :, :1]))),
    Mutant("both-normalised", _of(lambda x, y: F.smooth_l1_loss(_normalised(x), y))),
    Mutant("tokens-not-normalised", _of(prepare=lambda tokens: tokens)),
    Mutant("unit-tokens", _of(prepare=lambda tokens: F.normalize(tokens, dim=-1))),
    Mutant(
        "normalised-over-places",
        _of(prepare=lambda tokens: _normalised(tokens.mT).mT),
    ),
    Mutant("shifted-by-the-class-token", _of(at=lambda p, places: (p - 1) % places)),
    Mutant("places-in-reverse", _of(at=lambda p, places: places - 1 - p)),
    Mutant("places-of-the-next-image", _of(at=lambda p, places: p.roll(1, 1))),
    Mutant("teacher-trained", _of(stop=False)),
    Mutant("predictions-detached", _of(lambda x, y: F.smooth_l1_loss(x.detach(), y) + 0 * x.sum())),
)

LATENT = register_family(
    Family(
        name="latent-prediction",
        summary="Smooth L1 distance of predicted tokens from a teacher's normalised tokens",
        signals=SIGNALS,
        reference=reference,
        examples=drawn_examples,
        anchors=fixed_examples,
        degenerate=degenerate,
        degenerate_gradient=("all zero", "constant tokens", "tiny tokens"),
        malformed=malformed,
        trainable=("target_predictions",),
        stop_gradient=("teacher_tokens",),
        # Centring a token rounds as much as its entries are large beside their spread.
        scale=lambda inputs, hyper: float(
            inputs["target_predictions"].abs().max() + 8 * inputs["teacher_tokens"].abs().max() + 8
        ),
        gradient_scale=lambda inputs, hyper: {
            "target_predictions": torch.tensor(1 / inputs["target_predictions"].numel())
        },
        properties=(
            distance,
            gradient_is_bounded,
            unchanged(
                "shift-of-each-token",
                "LP3",
                formula="L is the same with a number added to all entries of a token, and for any "
                "class token",
                kills="tokens that are not normalised, a class token that is taken for a patch",
                moves=_moved_tokens,
            ),
            sample_permutation("LP4"),
            decomposes_over_samples("LP5"),
        ),
        mutants=_MUTANTS,
        control=_CONTROL,
    )
)
