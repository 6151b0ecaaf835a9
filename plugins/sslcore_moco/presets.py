"""The settings of MoCo v2 and v3 by size of the images: those of papers and code."""

from __future__ import annotations

import sslcore

_CIFAR = "github.com/vturrisi/solo-learn, scripts/pretrain/cifar"

MOCO = (
    sslcore.Preset(
        name="quick",
        summary="for small images and runs of a few hundred steps, not of the paper",
        up_to=0,
        defaults={"head": {"hidden": (2048,), "dim": 128}},
        settings={
            "optimizer": {"name": "SGD", "lr": 0.03, "momentum": 0.9, "weight_decay": 1e-4},
            "training": {"warmup_epochs": 1.0},
        },
    ),
    sslcore.Preset(
        name="32px",
        summary="of the authors' demo on CIFAR-10, whose encoder is a ResNet-18",
        reference="github.com/facebookresearch/moco, colab/moco_cifar10_demo.ipynb",
        up_to=64,
        settings={
            "optimizer": {
                "name": "SGD",
                "lr": 0.03,
                "lr_per": 256,
                "momentum": 0.9,
                "weight_decay": 5e-4,
            },
            "loss": {"temperature": 0.1},
        },
        defaults={
            "augmentation": {"blur": 0.0},
            "head": {"hidden": (), "dim": 128},
            "loss": {"queue_size": 4096},
        },
        teacher=sslcore.Teacher(momentum=0.99),
    ),
    sslcore.Preset(
        name="224px",
        summary="of MoCo v2 for ImageNet, whose encoder is a ResNet-50",
        reference="Chen et al. 2020, arXiv:2003.04297; github.com/facebookresearch/moco",
        settings={
            "optimizer": {
                "name": "SGD",
                "lr": 0.03,
                "lr_per": 256,
                "momentum": 0.9,
                "weight_decay": 1e-4,
            },
        },
        defaults={
            "augmentation": {"crop_scale": (0.2, 1.0)},
            "head": {"hidden": (2048,), "dim": 128},
            "loss": {"queue_size": 65536},
        },
    ),
)

MOCO_V3 = (
    sslcore.Preset(
        name="quick",
        summary="for small images and runs of a few hundred steps, not of the paper",
        up_to=0,
        defaults={"head": {"hidden": (4096, 4096), "dim": 256, "predictor_hidden": (4096,)}},
        settings={
            "head": {"norm_predictions": True},
            "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 0.1},
            "training": {"warmup_epochs": 1.0},
        },
    ),
    sslcore.Preset(
        name="32px",
        summary="of solo-learn for CIFAR-10, whose encoder is a ResNet-18",
        reference=f"{_CIFAR}/mocov3.yaml",
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
            },
            "training": {"warmup_epochs": 10.0},
        },
        defaults={
            "augmentation": {"interpolation": "bicubic", "saturation": 0.2, "blur": 0.0},
            "head": {"hidden": (4096,), "dim": 256, "predictor_hidden": (4096,)},
        },
    ),
    sslcore.Preset(
        name="224px",
        summary="of the paper for ImageNet with a ViT-S/16",
        reference="Chen, Xie & He 2021; github.com/facebookresearch/moco-v3, CONFIG.md",
        encoder="vit",
        settings={
            # The code decays biases and norms, too.
            "optimizer": {"name": "AdamW", "lr": 1.5e-4, "lr_per": 256, "weight_decay": 0.1},
            "training": {"warmup_epochs": 40.0},
        },
        defaults={
            "augmentation": {"saturation": 0.2},
            "encoder": {"width": 384, "depth": 12, "heads": 12},
            "head": {
                "hidden": (4096, 4096),
                "dim": 256,
                "predictor_hidden": (4096,),
                "norm_predictions": True,
            },
        },
    ),
)
