"""Image operations on whole batches, with separate parameters for each sample.

Every function here is pure: the same images and parameters give the same result, on any device and
for any split of the batch. Images are float (N, C, H, W) in [0, 1], and per-sample parameters are
tensors (N,) on the same device. Other shapes raise ValueError; parameters are never broadcast. No
function synchronizes with the device or loops over samples. Draw parameters with a
`sslcore.BatchRandom`, directly or through the samplers below.

To make V views of B images in one pass, give `resized_crop` boxes of shape (V, B), flatten the
result to a batch of V·B images, and apply the other operations to it. `RandomViews` does this with
all operations.
"""

from __future__ import annotations

from sslcore.transforms.color import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    color_jitter,
    grayscale,
    solarize,
)
from sslcore.transforms.filters import gaussian_blur
from sslcore.transforms.geometry import affine, horizontal_flip, resize, resized_crop
from sslcore.transforms.pixels import cutout, gaussian_noise, normalize
from sslcore.transforms.sampling import (
    ColorJitterParameters,
    CropParameters,
    color_jitter_parameters,
    crop_parameters,
)
from sslcore.transforms.views import BLURRED_FROM, RandomViews

__all__ = [
    "BLURRED_FROM",
    "ColorJitterParameters",
    "CropParameters",
    "RandomViews",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "affine",
    "color_jitter",
    "color_jitter_parameters",
    "crop_parameters",
    "cutout",
    "gaussian_blur",
    "gaussian_noise",
    "grayscale",
    "horizontal_flip",
    "normalize",
    "resize",
    "resized_crop",
    "solarize",
]
