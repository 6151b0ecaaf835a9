"""MAE's settings by size of the images: those of the paper, and of solo-learn."""

from __future__ import annotations

import sslcore

_DECODER = {"width": 512, "depth": 8, "heads": 16}
#: Appendix A.1, table 8; biases and norms are not decayed in its code.
_ADAMW = {
    "name": "AdamW",
    "lr_per": 256,
    "betas": (0.9, 0.95),
    "weight_decay": 0.05,
}

PRESETS = (
    sslcore.Preset(
        name="quick",
        summary="a small transformer, for small images and runs of a few minutes on a CPU",
        up_to=0,
        settings={
            "encoder": {"width": 128, "depth": 2, "heads": 4},
            "optimizer": {
                "name": "AdamW",
                "lr": 2e-3,
                "betas": (0.9, 0.95),
                "weight_decay": 0.05,
            },
            # What is slow is to find out which patches tell of which, and that takes steps: small
            # batches. The paper's are of 4096 images, for 800 epochs of a million.
            "training": {"batch_size": 32, "warmup_epochs": 1.0},
        },
    ),
    sslcore.Preset(
        name="32px",
        summary="of solo-learn for CIFAR-10 with a ViT-S of patches of 4 px",
        reference="github.com/vturrisi/solo-learn, scripts/pretrain/cifar/mae.yaml",
        up_to=64,
        settings={
            "optimizer": {**_ADAMW, "lr": 2e-4},
            "training": {"warmup_epochs": 10.0},
        },
        defaults={
            "augmentation": {"crop_scale": (0.08, 1.0), "interpolation": "bicubic"},
            "encoder": {"width": 384, "depth": 12, "heads": 6},
            "head": _DECODER,
        },
    ),
    sslcore.Preset(
        name="224px",
        summary="of the paper for ImageNet with a ViT-B/16",
        reference="He et al. 2022, table 8; github.com/facebookresearch/mae, PRETRAIN.md",
        settings={
            "optimizer": {
                **_ADAMW,
                "lr": 1.5e-4,
                "bias": {"weight_decay": 0.0},
                "norm": {"weight_decay": 0.0},
            },
            "training": {"warmup_epochs": 40.0},
        },
        defaults={
            "augmentation": {"interpolation": "bicubic"},
            "encoder": {"width": 768, "depth": 12, "heads": 12},
            "head": _DECODER,
        },
    ),
)
