"""Properties of heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sslcore.testing.parts.encoders import check_declared
from sslcore.testing.parts.module_subject import HeadSubject, ModuleSubject
from sslcore.testing.parts.modules import Shared
from sslcore.testing.parts.subject import PartExample
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation


def _anchors(subject: HeadSubject) -> Sequence[PartExample]:
    return [PartExample(channels=subject.spec.channels, batch=subject.spec.batch)]


def _follows(subject: ModuleSubject, example: PartExample) -> None:
    lengths: set[tuple[int, ...]] = set()
    for train, batch in ((True, max(2, example.batch)), (False, example.batch), (False, 1)):
        tried = replace(example, batch=batch)
        module = subject.module(tried, train=train)
        inputs = subject.asked(module, tried)
        with torch.no_grad():
            made = subject.run(module, inputs, tried)
        code = subject.code(tried, inputs, train=train)
        if not made:
            raise Violation("it returns nothing", code)
        check_declared(subject.declared(module), made, code)
        views = _views_of(inputs)
        for name, item in made.items():
            wanted = _shape_of(subject, name, views, batch)
            if wanted is not None and not _fits(tuple(item.shape), wanted):
                said = ", ".join("any" if size is None else str(size) for size in wanted)
                raise Violation(f"{name} must be ({said}), got {tuple(item.shape)}", code)
            if item.is_floating_point() and item.dtype != torch.float32:
                raise Violation(f"{name} must be float32, got {item.dtype}", code)
            if not bool(item.isfinite().all()):
                raise Violation(f"{name} are not finite", code)
        lengths.add(tuple(item.shape[-1] for item in made.values() if item.dim()))
    if len(lengths) > 1:
        raise Violation(f"outputs are of length {' or '.join(map(str, lengths))}, by batch", code)


def _views_of(inputs: dict[str, Any]) -> int:
    return next(item.shape[0] for item in inputs.values() if isinstance(item, Tensor))


def _shape_of(
    subject: ModuleSubject, name: str, views: int, batch: int
) -> tuple[int | None, ...] | None:
    """Return the shape of a signal in the contract; None if the contract does not state it."""
    spec = subject.spec
    if name in ("projections", "predictions"):
        return (views, batch, None)
    if name == "logits":
        return (views, batch, getattr(spec, "num_classes", None))
    if name == "step_predictions":
        return (None, views, batch, getattr(spec, "feature_dim", None))
    if name == "reconstructions":
        channels = spec.channels if isinstance(spec.channels, int) else None
        return (views, batch, channels, spec.image_size, spec.image_size)
    return None


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size == expected if expected is not None else size > 0
        for size, expected in zip(shape, wanted, strict=True)
    )


SHARED = Shared("H", _follows, _anchors)


def _predicts_steps(subject: HeadSubject) -> str:
    module = subject.module(_anchors(subject)[0])
    if "step_predictions" not in subject.declared(module):
        return "it makes no step_predictions"
    return ""


@declare(
    "predictions-look-back-only",
    "H11",
    formula="∂ step_predictions[k-1, t] / ∂ features[t'] = 0 for t' > t, and ≠ 0 for t' = t",
    kills="a context that includes its own target, attention without a mask, views in reverse "
    "order",
    precondition="it makes step_predictions of features",
    anchors=_anchors,
    applies=_predicts_steps,
)
def predictions_look_back_only(subject: HeadSubject, example: PartExample) -> None:
    module = subject.module(example)
    inputs = subject.asked(module, example)
    features = inputs["features"].detach().clone().requires_grad_()
    made = subject.run(module, {**inputs, "features": features}, example)["step_predictions"]
    code = subject.code(example, inputs)
    weights = torch.randn(made.shape[2:], generator=torch.Generator().manual_seed(0))
    for k in range(made.shape[0]):
        for t in range(made.shape[1]):
            score = (made[k, t] * weights).sum()
            (gradient,) = torch.autograd.grad(score, features, retain_graph=True)
            later = gradient[t + 1 :]
            if bool((later != 0).any()):
                seen = t + 1 + int((later != 0).flatten(1).any(1).nonzero()[0])
                raise Violation(
                    f"step_predictions[{k}, {t}] depends on features[{seen}], which comes later",
                    code,
                )
            if not bool((gradient[t] != 0).any()):
                raise Violation(
                    f"step_predictions[{k}, {t}] does not depend on features[{t}]", code
                )


HEAD = (
    *SHARED.contract(
        "projections and predictions: (V, B, D); step_predictions: (K, V, B, F); "
        "reconstructions: (V, B, C, h, h); logits: (V, B, K), K = num_classes; all float32, "
        "finite; forward returns the signals that it declares",
        "an average over views, batch and views exchanged, a wrong image size or number of classes",
    ),
    *SHARED.properties(),
    predictions_look_back_only,
)
