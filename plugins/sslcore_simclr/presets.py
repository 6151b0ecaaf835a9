"""SimCLR's settings by size of the images: those of the paper and of its official code."""

from __future__ import annotations

import sslcore

_CODE = "github.com/google-research/simclr"

#: The paper's optimizer; neither biases nor the weights of batch norm are decayed or adapted.
_LARS = {
    "name": "lars",
    "lr_per": 256,
    "momentum": 0.9,
    "weight_decay": 1e-6,
    "bias": {"weight_decay": 0.0, "trust_ratio": False},
    "norm": {"weight_decay": 0.0, "trust_ratio": False},
}

PRESETS = (
    sslcore.Preset(
        name="quick",
        summary="for small images and runs of a few hundred steps, not of the paper",
        up_to=0,
        settings={
            "optimizer": {"name": "SGD", "lr": 0.07, "momentum": 0.9, "weight_decay": 1e-4},
            "training": {"warmup_epochs": 1.0},
        },
    ),
    sslcore.Preset(
        name="32px",
        summary="of the paper for CIFAR-10, whose encoder is a ResNet",
        reference=f"Chen et al. 2020, appendix B.9; {_CODE}, README",
        up_to=64,
        settings={
            "optimizer": {**_LARS, "lr": 1.0},
            "loss": {"temperature": 0.5},
            "training": {"warmup_epochs": 10.0},
        },
        defaults={
            "augmentation": {"interpolation": "bicubic", "blur": 0.0},
            "head": {"hidden": (512,), "dim": 128, "norm_output": True},
        },
    ),
    sslcore.Preset(
        name="224px",
        summary="of the paper for ImageNet, whose encoder is a ResNet-50",
        reference=f"Chen et al. 2020, section 2.2 and appendix A; {_CODE}, run.py",
        settings={
            "optimizer": {**_LARS, "lr": 0.3},
            "loss": {"temperature": 0.1},
            "training": {"warmup_epochs": 10.0},
        },
        defaults={
            "augmentation": {
                "interpolation": "bicubic",
                "brightness": 0.8,
                "contrast": 0.8,
                "saturation": 0.8,
                "hue": 0.2,
            },
            "head": {"hidden": (2048,), "dim": 128, "norm_output": True},
        },
    ),
)
