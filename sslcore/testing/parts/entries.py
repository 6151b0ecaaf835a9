"""Specs for a plugin's records, so that every record can be checked without its author's help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sslcore.contract.interface import interface_of, load_reference
from sslcore.contract.records import Dataset, Method, Tracker
from sslcore.data import Split
from sslcore.errors import SslcoreError
from sslcore.pipeline.pipeline import Pipeline, Signals, augment, encode
from sslcore.pipeline.training_images import first_extras
from sslcore.random import BatchRandom
from sslcore.recipe.resolve import make_recipe
from sslcore.recipe.wiring import takes
from sslcore.registry.loading import Entry
from sslcore.registry.registry import Registry, default_registry
from sslcore.testing.parts.examples import class_folders, on_an_example
from sslcore.testing.parts.loss_entries import loss_specs
from sslcore.testing.parts.pictures import example_images
from sslcore.testing.parts.settings import required_settings
from sslcore.testing.parts.spec import (
    AugmentationSpec,
    DatasetSpec,
    EncoderSpec,
    EvaluatorSpec,
    HeadSpec,
    MethodSpec,
    OptimizerSpec,
    ScheduleSpec,
    TrackerSpec,
)
from sslcore.testing.parts.tiny import CLIPS, IMAGES, dataset_with_extras, with_tiny_data

Sized = TypeVar("Sized", AugmentationSpec, EncoderSpec)

#: Encoders with more weights than this are checked on few, small batches.
_LARGE = 2_000_000
#: Signals that the checks can draw for an encoder and for a head without a method.
_FOR_ENCODER = {"views", "progress", "step"}
_FOR_HEAD = {"features", "feature_maps", "views", "random", "progress", "step", "indices"}
#: Sides of images, px; the first that a part accepts is used.
_SIZES = (16, 32, 64, 224)
#: Frames of a clip.
_FRAMES = 6


def specs_of(entry: Entry, registry: Registry | None = None) -> list[Any]:
    """Return specs that check the part of a record; none if it can't be checked.

    The checks choose what the engine would supply: images of 16 px (or more, if a part takes no
    smaller ones) in one and in three channels, clips of six frames, features of 12 numbers. An
    encoder or head that asks for another signal gets it from a method that uses the part.

    Args:
        entry: a record of any kind, from the registry.
        registry: where other parts are looked up; everything installed by default.

    Raises:
        SslcoreError: the code behind the record can't be imported.
    """
    registry = registry or default_registry()
    if entry.kind == "method":
        return _method(entry, registry)
    target = load_reference(entry.build)
    make = _MAKERS.get(entry.kind)
    return [] if make is None else make(entry, target, registry)


def _needed(target: Any) -> set[str]:
    return {name for name, needed in interface_of(target).needs.items() if needed}


def _augmentation(entry: Entry, target: Any, registry: Registry) -> list[Any]:
    spec = _sized(AugmentationSpec(target, entry.name, required_settings(interface_of(target))))
    if "local_views" not in interface_of(target).provides:
        return [spec]
    return [spec, replace(spec, name=f"{entry.name}, local views", signal="local_views")]


def _encoder(entry: Entry, target: Any, registry: Registry) -> list[Any]:
    spec = _sized(EncoderSpec(target, entry.name, required_settings(interface_of(target))))
    if not _needed(target) <= _FOR_ENCODER or _takes_extras(target, registry):
        spec = replace(spec, channels=(1,), signals=_beside_views(entry, registry, spec))
    if _weights(spec) > _LARGE:
        spec = replace(spec, channels=spec.channels[-1:], batch=3, draw=False)
    return [spec]


def _takes_extras(target: Any, registry: Registry) -> bool:
    """Whether a part may ask for what comes with the images of some data set."""
    records = [entry.record for entry in registry.entries("dataset")]
    extras = {name for each in records if isinstance(each, Dataset) for name in each.provides}
    return not extras.isdisjoint(interface_of(target).needs)


def _sized(spec: Sized) -> Sized:
    """Return the spec with the smallest images that the part takes, in the channels it takes."""
    for size in _SIZES:
        tried = replace(spec, image_size=size)
        channels = tuple(each for each in spec.channels if _made(tried, each) is not None)
        if channels:
            return replace(tried, channels=channels)
    # The checks will show why it takes none.
    return spec


def _made(spec: AugmentationSpec | EncoderSpec, channels: int) -> Any:
    """Return a part; None if it refuses such images."""
    supplied = {
        "image_size": spec.image_size,
        "channels": channels,
        "num_frames": _FRAMES,
        "num_views": 1,
    }
    known = interface_of(spec.make).supplied
    taken = {name: value for name, value in supplied.items() if known.get(name)}
    try:
        with torch.random.fork_rng(devices=[]):
            return spec.make(**taken, **spec.settings)
    except ValueError:
        return None
    except Exception:  # noqa: BLE001 - the checked code may raise anything
        # Any other error is not a refusal; the checks will show it.
        return ()


def _weights(spec: EncoderSpec) -> int:
    made = _made(spec, spec.channels[-1])
    return sum(item.numel() for item in made.parameters()) if isinstance(made, nn.Module) else 0


def _head(entry: Entry, target: Any, registry: Registry) -> list[Any]:
    spec = HeadSpec(target, entry.name, required_settings(interface_of(target)))
    if _needed(target) <= _FOR_HEAD and not _takes_extras(target, registry):
        return [spec]
    found = _pipeline_with(entry, registry)
    if found is None:
        return [spec]
    made = _before_head(*found)(2)
    maps = made.get("feature_maps")
    return [
        replace(
            spec,
            num_views=made["views"].shape[0],
            feature_dim=made["features"].shape[-1],
            feature_map_shape=spec.feature_map_shape if maps is None else tuple(maps.shape[2:]),
            image_size=made["views"].shape[-1],
            channels=made["views"].shape[2],
            signals=_before_head(*found),
            of_images=found[0].of_images,
        )
    ]


def _evaluator(entry: Entry, target: Any, registry: Registry) -> list[Any]:
    return [EvaluatorSpec(target, entry.name, required_settings(interface_of(target)))]


def _dataset(entry: Entry, target: Any, registry: Registry) -> list[Any]:
    record = entry.record
    assert isinstance(record, Dataset)
    if record.example:
        make = on_an_example(target, load_reference(record.example))
    else:
        make = on_an_example(target, class_folders) if "/" in record.opens else target
    return [DatasetSpec(make, entry.name, clips=record.clips, provides=record.provides)]


def _tracker(entry: Entry, target: Any, registry: Registry) -> list[Any]:
    record = entry.record
    assert isinstance(record, Tracker)
    settings = required_settings(interface_of(target))
    return [TrackerSpec(target, entry.name, settings, offline=record.offline)]


def _method(entry: Entry, registry: Registry) -> list[Any]:
    record = entry.record
    assert isinstance(record, Method)
    named = record.augmentation
    names = (named,) if isinstance(named, str) else named
    try:
        faces = [registry.resolve("augmentation", name).interface() for name in names]
    except SslcoreError:
        # The checks will report a name that does not resolve.
        return [MethodSpec(lambda: entry.qualified, entry.name, registry=registry)]
    kinds = [clips for clips in (False, True) if any(takes(face, clips=clips) for face in faces)]
    return [
        MethodSpec(
            lambda: entry.qualified,
            f"{entry.name} on {'clips' if clips else 'images'}" if len(kinds) > 1 else entry.name,
            registry=registry,
            clips=clips,
        )
        for clips in kinds
    ]


_MAKERS: Mapping[str, Callable[[Entry, Any, Registry], list[Any]]] = {
    "loss": lambda entry, target, registry: loss_specs(entry, target),
    "augmentation": _augmentation,
    "encoder": _encoder,
    "head": _head,
    "evaluator": _evaluator,
    "dataset": _dataset,
    "optimizer": lambda entry, target, registry: [OptimizerSpec(target, entry.name)],
    "schedule": lambda entry, target, registry: [ScheduleSpec(target, entry.name)],
    "tracker": _tracker,
}


# Signals of a method, for a part that needs signals that the checks can't draw.


def _pipeline_with(entry: Entry, registry: Registry) -> tuple[Pipeline, Split] | None:
    """Return the pipeline of a method that uses a part, and its images; None if none works."""
    from sslcore.pipeline.build import ImageShape, build_data, build_pipeline

    for method in registry.entries("method"):
        assert isinstance(method.record, Method)
        name = getattr(method.record, entry.kind)
        try:
            if name is None or registry.resolve(entry.kind, name) != entry:
                continue
            like = dataset_with_extras(registry, method.record)
            tiny = with_tiny_data(registry, like)
            settings = {"data": {} if like is None else {"extras_of": like.build}}
            for data, frames in ((IMAGES, None), (CLIPS, _FRAMES)):
                recipe, _ = make_recipe(
                    method.qualified, data=data, settings=settings, registry=tiny
                )
                train = build_data(recipe.data).train
                return build_pipeline(recipe, ImageShape(16, 1, frames, 3), train=train), train
        except SslcoreError:
            continue
    return None


def _before_head(pipeline: Pipeline, train: Split) -> Callable[[int], Signals]:
    @torch.no_grad()
    def signals(batch: int) -> Signals:
        made = _augmented(pipeline, train, batch)
        made |= encode(pipeline.encoder.eval(), made, pipeline.of_images)
        return made

    return signals


def _augmented(pipeline: Pipeline, train: Split, batch: int) -> Signals:
    return augment(
        pipeline.augmentation.train(),
        example_images(batch, 1, 16),
        random=BatchRandom(0, 0, batch),
        given={"indices": torch.arange(batch), **first_extras(train, batch)},
    )


def _beside_views(
    entry: Entry, registry: Registry, spec: EncoderSpec
) -> Callable[[Tensor], Mapping[str, Any]] | None:
    found = _pipeline_with(entry, registry)
    if found is None:
        return None
    pipeline, train = found

    def signals(views: Tensor) -> Mapping[str, Any]:
        made = _augmented(pipeline, train, len(views))
        return {
            name: item if name in pipeline.of_images else item.flatten(0, 1)[: len(views)]
            for name, item in made.items()
            if isinstance(item, Tensor) and name not in ("images", "views")
        }

    return signals
