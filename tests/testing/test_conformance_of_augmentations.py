"""Every shipped augmentation has the properties of augmentations."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torchvision.transforms import v2

from sslcore.registry.registry import default_registry
from sslcore.testing import cases, conformance, specs_of

_SPECS = {
    spec.name: spec
    for entry in default_registry().entries("augmentation")
    for spec in specs_of(entry)
    if entry.origin.shipped
}

#: Settings at which a training view equals the view for evaluators.
_IDENTITY = {
    "two-views": {
        "crop_scale": (1.0, 1.0),
        "crop_ratio": (1.0, 1.0),
        "flip": 0.0,
        "jitter": 0.0,
        "grayscale": 0.0,
    },
    "denoising": {"noise": 0.0, "masking": 0.0},
    "patches": {"jitter": 0.0},
    "patch-mask": {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0},
    "frames": {},
    "plain": {},
}


def _simclr():
    """SimCLR's transforms (Chen et al. 2020, appendix A) as torchvision has them."""
    jitter = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    return v2.Compose(
        [
            v2.RandomResizedCrop(16, scale=(0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([jitter], 0.8),
            v2.RandomGrayscale(0.2),
            v2.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )


def _mae():
    """MAE's transforms (He et al. 2022, appendix A.1) as torchvision has them."""
    return v2.Compose(
        [
            v2.RandomResizedCrop(16, scale=(0.2, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )


def _blurred_and_solarized():
    return v2.Compose(
        [
            v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.5))], 0.6),
            v2.RandomSolarize(0.5, 0.3),
            v2.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)),
        ]
    )


_REFERENCES = {"two-views": _simclr, "patch-mask": _mae}


def _specs():
    for name, spec in _SPECS.items():
        reference = _REFERENCES.get(name)
        yield replace(spec, identity=_IDENTITY.get(name), reference=reference and reference())
    two_views = _SPECS["two-views"]
    yield replace(
        two_views,
        name="two-views, everything on",
        settings={
            "views": 3,
            "size": 12,
            "degrees": 20.0,
            "translate": 0.2,
            "blur": 0.5,
            "solarize": 0.3,
            "cutout_holes": 2,
        },
    )
    yield replace(
        two_views,
        name="two-views, blurred and solarized",
        channels=(3,),
        settings={
            **_IDENTITY["two-views"],
            "blur": 0.6,
            "blur_sigma": (0.3, 1.5),
            "blur_kernel": 5,
            "solarize": 0.3,
            "mean": (0.4, 0.5, 0.6),
            "std": (0.2, 0.3, 0.4),
        },
        reference=_blurred_and_solarized(),
    )
    yield replace(_SPECS["frames"], name="three of six frames", settings={"frames": 3})
    yield replace(_SPECS["patches"], name="shifted patches", settings={"crop": 2})


@conformance(*_specs())
def test_a_shipped_augmentation(case):
    case.run()


_STRONG = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.3}


@pytest.mark.parametrize(
    ("settings", "transform"),
    [
        (
            {"crop_scale": (0.08, 1.0), "crop_ratio": (0.75, 4 / 3), "flip": 0.5},
            v2.Compose([v2.RandomResizedCrop(16, antialias=True), v2.RandomHorizontalFlip()]),
        ),
        ({"jitter": 1.0, **_STRONG}, v2.ColorJitter(**_STRONG)),
        ({"jitter": 1.0, **dict.fromkeys(_STRONG, 0.0), "hue": 0.2}, v2.ColorJitter(hue=0.2)),
        ({"grayscale": 0.4}, v2.RandomGrayscale(0.4)),
    ],
    ids=["crops", "colours", "hues", "grey ones"],
)
def test_each_disturbance_alone_is_distributed_as_torchvisions(settings, transform):
    normalize = v2.Normalize((0.5,) * 3, (0.25,) * 3)
    spec = replace(
        _SPECS["two-views"],
        settings={**_IDENTITY["two-views"], **settings},
        reference=lambda image: normalize(transform(image)),
    )
    next(case for case in cases(spec) if case.id == "distributed-as-the-reference").run()


def test_every_shipped_augmentation_is_among_them():
    shipped = [
        entry for entry in default_registry().entries("augmentation") if entry.origin.shipped
    ]
    assert {entry.name for entry in shipped} <= set(_SPECS)
