"""From images to features: what evaluators see, and what a user takes away."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sslcore.pipeline.build import ImageShape
from sslcore.pipeline.pipeline import augment, encode

#: How far beyond [0, 1] rounding may bring a value.
_ROUNDING = 1e-3


class FeatureExtractor(nn.Module):
    """Images to features: the views that the augmentation shows evaluators, encoded and averaged.

    In training mode, too, the views are those for evaluators, so that it needs no random numbers;
    the encoder alone is trained.

    Args:
        augmentation: the run's augmentation, put into eval mode for good.
        encoder: the run's encoder, put into eval mode.
        shape: of the images that they were made for; where it is given, others are refused.
    """

    def __init__(
        self, augmentation: nn.Module, encoder: nn.Module, shape: ImageShape | None = None
    ) -> None:
        super().__init__()
        self.augmentation, self.encoder, self.shape = augmentation, encoder, shape
        self.eval()

    def train(self, mode: bool = True) -> FeatureExtractor:
        """Put the encoder into training mode, in which its weights have gradients, or eval mode."""
        super().train(mode)
        self.augmentation.eval()
        if mode:
            self.encoder.requires_grad_(True)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, F) of images (B, C, H, W), or clips, uint8 or float in [0, 1].

        Raises:
            ValueError: it is no such tensor, its values are not in [0, 1], or the encoder was made
                for images of another form.
        """
        images = self.checked(images)
        signals = augment(self.augmentation, images)
        result: Tensor = encode(self.encoder, signals)["features"].mean(0)
        return result

    def checked(self, images: object) -> Tensor:
        """Return images, uint8 or float in [0, 1], that fit the encoder.

        Raises:
            ValueError: they don't.
        """
        if not isinstance(images, Tensor):
            raise ValueError(
                f"expected a tensor of images, got {type(images).__name__}; torch.from_numpy makes "
                "a tensor of an array"
            )
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise ValueError(f"expected images in uint8, or floats in [0, 1], got {images.dtype}")
        if self.shape is not None:
            frames, channels = self.shape.num_frames, self.shape.channels
            dims = 4 if frames is None else 5
            if images.dim() != dims or images.shape[-3] != channels:
                form = f"(B, {channels}, H, W)" if dims == 4 else f"(B, T, {channels}, H, W)"
                raise ValueError(
                    f"expected a batch {form}, since the encoder was trained on {self.shape}; got "
                    f"shape {tuple(images.shape)}"
                )
        if images.dtype == torch.uint8:
            return images
        images = images.float()
        if images.numel():
            _check_range(*(float(value) for value in images.detach().aminmax()))
        return images


def _check_range(low: float, high: float) -> None:
    """Refuse values outside [0, 1], NaN among them.

    Raises:
        ValueError: the message says what may be the reason.
    """
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return
    if low >= 0 and high > 2:
        reason = "divide values up to 255 by 255, or give them as uint8"
    else:
        reason = "give images as they are: the encoder normalises them itself"
    raise ValueError(
        f"expected floats in [0, 1], got values from {low:.4g} to {high:.4g}; {reason}"
    )
