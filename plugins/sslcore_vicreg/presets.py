"""The settings of VICReg and Barlow Twins by size of the images: those of papers and code."""

from __future__ import annotations

import sslcore

_CIFAR = "github.com/vturrisi/solo-learn, scripts/pretrain/cifar"
#: Neither biases nor the weights of batch norm are decayed or adapted.
_EXCLUDED = {"weight_decay": 0.0, "trust_ratio": False}
_LARS = {
    "name": "lars",
    "lr_per": 256,
    "momentum": 0.9,
    "bias": _EXCLUDED,
    "norm": _EXCLUDED,
}
#: Of solo-learn, for small images.
_SMALL = {**_LARS, "lr": 0.3, "weight_decay": 1e-4, "trust_coefficient": 0.02, "clip": True}
_HEAD = {"hidden": (2048, 2048), "dim": 2048}
#: The last rate of the papers' code is a thousandth of the largest.
_LONG = {"warmup_epochs": 10.0, "final_rate": 0.001}

_QUICK = sslcore.Preset(
    name="quick",
    summary="for small images and runs of a few hundred steps, not of the paper",
    up_to=0,
    settings={
        "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 1e-4},
        "training": {"warmup_epochs": 1.0},
    },
)

VICREG = (
    _QUICK,
    sslcore.Preset(
        name="32px",
        summary="of solo-learn for CIFAR-10, whose encoder is a ResNet-18",
        reference=f"{_CIFAR}/vicreg.yaml",
        up_to=64,
        settings={"optimizer": _SMALL, "training": {"warmup_epochs": 10.0}},
        defaults={
            "augmentation": {
                "interpolation": "bicubic",
                "crop_scale": (0.2, 1.0),
                "saturation": 0.2,
                "blur": 0.0,
                "solarize": 0.1,
            },
            "head": _HEAD,
        },
    ),
    sslcore.Preset(
        name="224px",
        summary="of the official code for 100 epochs of ImageNet, whose encoder is a ResNet-50",
        reference="github.com/facebookresearch/vicreg, README and augmentations.py",
        settings={
            "optimizer": {**_LARS, "lr": 0.3, "weight_decay": 1e-6},
            "training": _LONG,
        },
        defaults={
            "augmentation": {"interpolation": "bicubic", "saturation": 0.2, "asymmetric": True},
        },
    ),
)

BARLOW_TWINS = (
    _QUICK,
    sslcore.Preset(
        name="32px",
        summary="of solo-learn for CIFAR-10, whose encoder is a ResNet-18",
        reference=f"{_CIFAR}/barlow.yaml",
        up_to=64,
        settings={
            # solo-learn multiplies the loss by 0.1, which changes the steps of these alone.
            "optimizer": {
                **_SMALL,
                "bias": {**_EXCLUDED, "lr": 0.03},
                "norm": {**_EXCLUDED, "lr": 0.03},
            },
            "loss": {"redundancy_weight": 0.0051},
            "training": {"warmup_epochs": 10.0},
        },
        defaults={
            "augmentation": {"interpolation": "bicubic", "saturation": 0.2, "blur": 0.0},
            "head": _HEAD,
        },
    ),
    sslcore.Preset(
        name="224px",
        summary="of the paper for ImageNet, whose encoder is a ResNet-50",
        reference="Zbontar et al. 2021, section 2.2; github.com/facebookresearch/barlowtwins",
        settings={
            "optimizer": {
                **_LARS,
                "lr": 0.2,
                "weight_decay": 1.5e-6,
                "bias": {**_EXCLUDED, "lr": 0.0048},
                "norm": {**_EXCLUDED, "lr": 0.0048},
            },
            "loss": {"redundancy_weight": 0.0051},
            "training": _LONG,
        },
        defaults={"augmentation": {"interpolation": "bicubic", "saturation": 0.2}},
    ),
)
