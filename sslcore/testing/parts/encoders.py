"""Properties of encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sslcore.testing.parts.module_checks import moved
from sslcore.testing.parts.module_subject import EncoderSubject, ModuleSubject
from sslcore.testing.parts.modules import Shared
from sslcore.testing.parts.subject import PartExample
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation


def _anchors(subject: EncoderSubject) -> Sequence[PartExample]:
    return [
        PartExample(channels=channels, batch=subject.spec.batch)
        for channels in subject.spec.channels
    ]


def _first(subject: EncoderSubject) -> Sequence[PartExample]:
    return _anchors(subject)[:1]


def _follows(subject: ModuleSubject, example: PartExample) -> None:
    lengths: set[int] = set()
    for train, batch in ((True, max(2, example.batch)), (False, example.batch), (False, 1)):
        tried = replace(example, batch=batch)
        module = subject.module(tried, train=train)
        inputs = subject.asked(module, tried)
        with torch.no_grad():
            made = subject.run(module, inputs, tried)
        code = subject.code(tried, inputs, train=train)
        if "features" not in made:
            raise Violation(f"it gives no features, but {', '.join(made) or 'nothing'}", code)
        check_declared(subject.declared(module), made, code)
        lengths.add(_features(made["features"], batch, code))
        if "feature_maps" in made:
            check_tensor("feature_maps", made["feature_maps"], 4, batch, code)
        for name, item in made.items():
            if item.shape[:1] != (batch,):
                raise Violation(
                    f"{name} must have a row for each of {batch} views, got {tuple(item.shape)}",
                    code,
                )
    if len(lengths) > 1:
        raise Violation(f"features are of length {' or '.join(map(str, sorted(lengths)))}", code)


def _features(features: Tensor, batch: int, code: str) -> int:
    check_tensor("features", features, 2, batch, code)
    return features.shape[1]


def check_tensor(name: str, item: Tensor, dims: int, batch: int, code: str) -> None:
    """Raise a violation unless a tensor is float32, finite and has so many dimensions."""
    if item.dim() != dims or len(item) != batch or item.numel() == 0:
        raise Violation(
            f"{name} must have {dims} dimensions, the first of {batch}, got {tuple(item.shape)}",
            code,
        )
    if item.dtype != torch.float32:
        raise Violation(f"{name} must be float32, as the views are, got {item.dtype}", code)
    if not bool(item.isfinite().all()):
        raise Violation(f"{name} are not finite", code)


def check_declared(declared: dict[str, bool], made: dict[str, Tensor], code: str) -> None:
    """Raise a violation if `forward` returns other signals than its annotation declares."""
    for name, always in declared.items():
        if always and name not in made:
            raise Violation(f"forward declares {name} but does not return it", code)
    for name in made:
        if name not in declared:
            raise Violation(f"forward returns {name}, which its annotation does not declare", code)


SHARED = Shared("E", _follows, _first)


@declare(
    "any-number-of-channels",
    "E0",
    formula="E1 holds for each number of channels that the spec names",
    kills="a fixed number of three channels",
    anchors=lambda subject: _anchors(subject)[1:],
    applies=lambda subject: (
        "" if len(subject.spec.channels) > 1 else "the spec names one number of channels"
    ),
)
def any_number_of_channels(subject: EncoderSubject, example: PartExample) -> None:
    _follows(subject, replace(example, batch=2))


@declare(
    "features-tell-images-apart",
    "E11",
    formula="f(x) ≠ f(y) for views x ≠ y",
    kills="constant features, a view that is ignored",
    anchors=_first,
)
def features_tell_images_apart(subject: EncoderSubject, example: PartExample) -> None:
    module = subject.module(example)
    alike = _alike(subject.outputs(example, module)["features"])
    if len(alike):
        # A last layer may start at zero.
        moved(module)
        alike = _alike(subject.outputs(example, module)["features"])
    if len(alike):
        one, other = alike[0].tolist()
        raise Violation(
            f"views {one} and {other} differ, but their features are the same",
            subject.code(example),
        )


def _alike(features: Tensor) -> Tensor:
    """Return the pairs of rows that are the same, (P, 2)."""
    distance = torch.cdist(features.double(), features.double())
    return (distance.fill_diagonal_(1) == 0).nonzero()


@declare(
    "any-memory-layout",
    "E12",
    formula="channels-last views and weights, and views with gaps between them, give the same "
    "features within rounding",
    kills="`view` on non-contiguous tensors, flattening in memory order",
    anchors=_first,
)
def any_memory_layout(subject: EncoderSubject, example: PartExample) -> None:
    module = subject.module(example)
    inputs = subject.asked(module, example)
    whole = subject.outputs(example, module)
    views = inputs["views"]
    wide = torch.zeros(*views.shape[:-1], views.shape[-1] + 3)
    wide[..., 2:-1] = views
    layouts = {
        "views with gaps between rows": wide[..., 2:-1],
        "channels-last views": views.contiguous(memory_format=torch.channels_last),
    }
    with torch.no_grad():
        for what, laid in layouts.items():
            got = subject.run(module, {**inputs, "views": laid}, example)
            subject.same(got, whole, what, example)
        # As the engine runs it on every device.
        module = module.to(memory_format=torch.channels_last)
        got = subject.run(module, {**inputs, "views": laid}, example)
        subject.same(got, whole, "weights and views channels-last", example)


ENCODER = (
    any_number_of_channels,
    *SHARED.contract(
        "features: (N, F) float32, finite, F the same for every batch and mode; feature_maps: "
        "(N, F', h', w'); forward returns the signals that it declares",
        "features with dimensions for positions, a missing or undeclared output, NaN",
    ),
    *SHARED.properties(),
    features_tell_images_apart,
    any_memory_layout,
)
