"""The settings of BYOL and SimSiam by size of the images: those of papers and code."""

from __future__ import annotations

import sslcore

#: Neither biases nor the weights of batch norm are decayed or adapted.
_EXCLUDED = {
    "bias": {"weight_decay": 0.0, "trust_ratio": False},
    "norm": {"weight_decay": 0.0, "trust_ratio": False},
}
_QUICK = "for small images and runs of a few hundred steps, not of the paper"

BYOL = (
    sslcore.Preset(
        name="quick",
        summary=_QUICK,
        up_to=0,
        settings={
            # Not so in the paper. In a run of a few hundred steps, projections that are not
            # normalised keep a direction in common, and the features lose more than they learn.
            "head": {"norm_output": True},
            "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 1e-4},
            "training": {"warmup_epochs": 1.0},
        },
        teacher=sslcore.Teacher(momentum=0.996, final_momentum=1.0),
    ),
    sslcore.Preset(
        name="32px",
        summary="of solo-learn for CIFAR-10, whose encoder is a ResNet-18",
        reference="github.com/vturrisi/solo-learn, scripts/pretrain/cifar/byol.yaml",
        up_to=64,
        settings={
            "optimizer": {
                "name": "lars",
                "lr": 1.0,
                "lr_per": 256,
                "momentum": 0.9,
                "weight_decay": 1e-5,
                "trust_coefficient": 0.02,
                "clip": True,
                **_EXCLUDED,
            },
            "training": {"warmup_epochs": 10.0},
        },
        defaults={
            "augmentation": {"interpolation": "bicubic", "saturation": 0.2, "blur": 0.0},
        },
    ),
    sslcore.Preset(
        name="224px",
        summary="of the official code for 100 epochs of ImageNet, whose encoder is a ResNet-50",
        reference="github.com/google-deepmind/deepmind-research, byol/configs/byol.py",
        settings={
            "optimizer": {
                "name": "lars",
                "lr": 0.45,
                "lr_per": 256,
                "momentum": 0.9,
                "weight_decay": 1e-6,
                **_EXCLUDED,
            },
            "training": {"warmup_epochs": 10.0},
        },
        defaults={"augmentation": {"interpolation": "bicubic", "saturation": 0.2}},
    ),
)

SIMSIAM = (
    sslcore.Preset(
        name="quick",
        summary=_QUICK,
        up_to=0,
        settings={
            # For the paper's SGD, which learns less in as few steps.
            "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 1e-4},
            "training": {"warmup_epochs": 1.0},
        },
        defaults={"head": {"hidden": (2048, 2048), "dim": 2048, "predictor_hidden": (512,)}},
    ),
    sslcore.Preset(
        name="32px",
        summary="of the paper for CIFAR-10, whose encoder is a ResNet-18",
        reference="Chen & He 2021, appendix D; github.com/PatrickHua/SimSiam, simsiam_cifar.yaml",
        up_to=64,
        settings={
            "optimizer": {
                "name": "SGD",
                "lr": 0.03,
                "lr_per": 256,
                "momentum": 0.9,
                "weight_decay": 5e-4,
                "predictor": {"schedule": "constant"},
            },
        },
        defaults={
            "augmentation": {"crop_scale": (0.2, 1.0), "blur": 0.0},
            "head": {"hidden": (2048,), "dim": 2048, "predictor_hidden": (512,)},
        },
    ),
    sslcore.Preset(
        name="224px",
        summary="of the paper for ImageNet, whose encoder is a ResNet-50",
        reference="Chen & He 2021, section 3; github.com/facebookresearch/simsiam",
        settings={
            "optimizer": {
                "name": "SGD",
                "lr": 0.05,
                "lr_per": 256,
                "momentum": 0.9,
                "weight_decay": 1e-4,
                "predictor": {"schedule": "constant"},
            },
        },
        defaults={
            "augmentation": {"crop_scale": (0.2, 1.0)},
            "head": {"hidden": (2048, 2048), "dim": 2048, "predictor_hidden": (512,)},
        },
    ),
)
