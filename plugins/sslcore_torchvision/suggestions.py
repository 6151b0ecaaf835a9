"""What the data sets suggest to the parts that ship: mean and standard deviation, crops, widths."""

from __future__ import annotations

from collections.abc import Mapping

#: The augmentations that normalise views by mean and standard deviation.
NORMALISING = ("block-mask", "frames", "light", "multi-crop", "patch-mask", "patches", "two-views")


def normalised(
    mean: tuple[float, ...], std: tuple[float, ...], **more: Mapping[str, object]
) -> dict[str, Mapping[str, object]]:
    """Return the settings by which augmentations normalise the images of a data set.

    Args:
        mean: of the images in [0, 1], by channel.
        std: standard deviation, by channel.
        more: further settings, by the name of the augmentation with `_` in place of hyphens.
    """
    return {
        f"augmentation:{name}": {"mean": mean, "std": std, **more.get(name.replace("-", "_"), {})}
        for name in NORMALISING
    }


def for_digits() -> dict[str, Mapping[str, object]]:
    """Return what suits the digits, of 8 px.

    A mirrored digit is another sign, or none; a small part of one may be any digit, so crops stay
    large and holes small. Of 128 features, wider heads would take most of the time.
    """
    crops = {"flip": 0.0, "crop_scale": (0.6, 1.0)}
    turned = {**crops, "degrees": 15.0}
    recoloured = {**turned, "grayscale": 0.0, "blur": 0.0, "solarize": 0.0}
    head = {"hidden": (256,), "dim": 128}
    return {
        **normalised(
            (0.306,),
            (0.319,),
            block_mask=crops,
            light=turned,
            multi_crop={**recoloured, "local_scale": (0.4, 0.8), "local_views": 4},
            patch_mask=crops,
            two_views={**recoloured, "cutout_holes": 1, "cutout_length": 5},
        ),
        "head:cluster-centroids": head,
        "head:expander": head,
        "head:prediction": {**head, "predictor_hidden": (256,)},
        "head:projection": head,
        "head:prototypes": head,
        "loss:neighbour-contrast": {"queue_size": 256},
        "loss:queue-contrast": {"queue_size": 256},
        # Fewer prototypes than images in a batch, and hard codes: with ε = 0.05 digits, which look
        # alike at first, get codes that are nearly uniform, and their projections collapse.
        "loss:swav": {"prototypes": 30, "epsilon": 0.02},
        # 1,347 images: small batches, so that an epoch has steps enough to learn in.
        "training": {"epochs": 10, "batch_size": 64},
    }
