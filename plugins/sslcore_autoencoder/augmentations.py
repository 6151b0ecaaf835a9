"""Augmentations for reconstruction: one view per image in [-1, 1], disturbed or not.

The range is fixed, where other methods standardise, so that a decoder that ends in Tanh can
reach every value.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from sslcore import BatchRandom, transforms
from sslcore.signals import Views, ViewsWithTargets


def to_tanh_range(images: Tensor) -> Tensor:
    """Map images from [0, 1] to [-1, 1]."""
    return images * 2 - 1


class Plain(nn.Module):
    """The image itself as the only view, scaled to [-1, 1]."""

    def forward(self, images: Tensor) -> Views:
        """Turn images (B, C, H, W) in [0, 1] into views (1, B, C, H, W) in [-1, 1]."""
        return {"views": to_tanh_range(images).unsqueeze(0)}


class _Disturbance(nn.Module):
    """One disturbed view with the clean one as its target; clean in eval mode."""

    def forward(self, images: Tensor, random: BatchRandom | None = None) -> ViewsWithTargets:
        """Turn images (B, C, H, W) in [0, 1] into views and targets (1, B, C, H, W).

        Args:
            images: (B, C, H, W), in [0, 1].
            random: the step's random numbers; not used in eval mode.

        Raises:
            ValueError: `random` is missing in training mode.
        """
        targets = to_tanh_range(images).unsqueeze(0)
        if not self.training:
            return {"views": targets, "targets": targets}
        if random is None:
            raise ValueError("random is needed in training mode; pass a sslcore.BatchRandom")
        disturbed = self.disturb(images, random)
        return {"views": to_tanh_range(disturbed).unsqueeze(0), "targets": targets}

    def disturb(self, images: Tensor, random: BatchRandom) -> Tensor:
        """Return the images (B, C, H, W) disturbed, in the units of the images."""
        raise NotImplementedError


class Denoising(_Disturbance):
    """Gaussian noise and masked pixels, each image its own (Vincent et al. 2010, section 3.3).

    The noise is not clipped, so that it stays Gaussian at black and white too.

    Args:
        noise: standard deviation of the added noise, in units of the image's range [0, 1].
        masking: part of the pixels set to 0 (black) in all channels, in [0, 1]; each pixel is
            drawn independently.
    """

    def __init__(
        self,
        *,
        noise: Annotated[float, Ge(0)] = 0.1,
        masking: Annotated[float, Ge(0), Le(1)] = 0.25,
    ) -> None:
        super().__init__()
        self.noise, self.masking = noise, masking

    def disturb(self, images: Tensor, random: BatchRandom) -> Tensor:
        """Return noisy, masked images of the same shape."""
        # Sources of their own, so that changing one setting leaves the other's draws alone.
        noise = random.fork("noise").normal(*images.shape[1:])
        noisy = transforms.gaussian_noise(images, noise, self.noise)
        return noisy.masked_fill(self._masked(images, random), 0.0)

    def describe(self, images: Tensor, random: BatchRandom) -> dict[str, list[list[str]]]:
        """Describe how much of each image is masked, for previews."""
        parts = self._masked(images, random).float().mean((1, 2, 3)).tolist()
        return {"views": [[f"noise {self.noise:g}, {part:.0%} masked" for part in parts]]}

    def _masked(self, images: Tensor, random: BatchRandom) -> Tensor:
        """Return which pixels are masked, (B, 1, H, W)."""
        return random.fork("masking").bernoulli(self.masking, 1, *images.shape[2:])


class Cutout(_Disturbance):
    """Square holes at random places, each image its own (DeVries & Taylor 2017).

    A hole's centre is uniform over the image, so that a hole may reach past the edge.

    Args:
        image_size: side of the images, px.
        holes: holes per image; they may overlap.
        length: side of a hole, px, at most the side of the image; none means half of it.
        fill: grey level of a hole, in [0, 1].

    Raises:
        ValueError: a hole is larger than the image.
    """

    def __init__(
        self,
        image_size: int,
        *,
        holes: Annotated[int, Gt(0)] = 1,
        length: Annotated[int, Gt(0)] | None = None,
        fill: Annotated[float, Ge(0), Le(1)] = 0.5,
    ) -> None:
        super().__init__()
        if length is not None and length > image_size:
            raise ValueError(
                f"length is {length} px but the images are {image_size} px; make it smaller"
            )
        self.image_size, self.holes, self.fill = image_size, holes, fill
        self.length = length if length is not None else max(1, image_size // 2)

    def disturb(self, images: Tensor, random: BatchRandom) -> Tensor:
        """Return images of the same shape with holes in them."""
        centre_y, centre_x = self._centres(random)
        return transforms.cutout(images, centre_y, centre_x, self.length, fill=self.fill)

    def describe(self, images: Tensor, random: BatchRandom) -> dict[str, list[list[str]]]:
        """Describe the holes of each image, for previews."""
        centres = zip(*(each.tolist() for each in self._centres(random)), strict=True)
        return {
            "views": [
                [
                    " ".join(
                        f"hole {self.length}×{self.length} around {y},{x}"
                        for y, x in zip(*of_image, strict=True)
                    )
                    for of_image in centres
                ]
            ]
        }

    def _centres(self, random: BatchRandom) -> tuple[Tensor, Tensor]:
        """Return the rows and the columns of the centres, px, each (B, holes)."""
        first = random.integers(0, self.image_size, self.holes)
        return first, random.integers(0, self.image_size, self.holes)
