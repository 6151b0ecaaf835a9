"""DINO's settings by size of the images: those of the paper's code, and of solo-learn."""

from __future__ import annotations

import sslcore

PRESETS = (
    sslcore.Preset(
        name="quick",
        summary="for small images and runs of a few hundred steps, not of the paper",
        up_to=0,
        settings={
            # The paper needs none with transformers, whose layer norms do as much.
            "head": {"batch_norm": True},
            "optimizer": {"name": "AdamW", "lr": 3e-3, "weight_decay": 0.04},
            "training": {"warmup_epochs": 1.0, "clip_grad_norm": 3.0},
        },
    ),
    sslcore.Preset(
        name="32px",
        summary="of solo-learn for CIFAR-10, whose encoder is a ResNet-18",
        reference="github.com/vturrisi/solo-learn, scripts/pretrain/cifar/dino.yaml",
        up_to=64,
        settings={
            "optimizer": {
                "name": "lars",
                "lr": 0.3,
                "lr_per": 256,
                "momentum": 0.9,
                "weight_decay": 1e-6,
                "trust_coefficient": 0.02,
                "clip": True,
                "bias": {"weight_decay": 0.0, "trust_ratio": False},
                "norm": {"weight_decay": 0.0, "trust_ratio": False},
                "prototypes": {"frozen_epochs": 1},
            },
            "training": {"warmup_epochs": 10.0},
        },
        defaults={
            "augmentation": {
                "interpolation": "bicubic",
                "crop_scale": (0.08, 1.0),
                "local_views": 0,
                "blur": 0.0,
            },
            "head": {"dim": 4096, "freeze": 0.0},
            "loss": {"teacher_temperature": 0.07},
        },
        teacher=sslcore.Teacher(momentum=0.9995, final_momentum=1.0),
    ),
    sslcore.Preset(
        name="224px",
        summary="of the official code for ImageNet with a ViT-S/16",
        reference="Caron et al. 2021; github.com/facebookresearch/dino, main_dino.py",
        encoder="vit",
        settings={
            "optimizer": {
                "name": "AdamW",
                "lr": 5e-4,
                "lr_per": 256,
                "weight_decay": 0.04,
                "bias": {"weight_decay": 0.0},
                "norm": {"weight_decay": 0.0},
                "prototypes": {"frozen_epochs": 1},
            },
            "training": {
                "warmup_epochs": 10.0,
                "final_rate": 0.001,
                "final_weight_decay": 0.4,
                "clip_grad_norm": 3.0,
            },
        },
        defaults={
            "augmentation": {"interpolation": "bicubic"},
            "encoder": {"width": 384, "depth": 12, "heads": 6},
            "head": {"freeze": 0.0},
        },
    ),
)
