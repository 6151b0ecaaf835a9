"""The augmentation of MAE: a random crop, and which of its patches are hidden."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from sslcore import BatchRandom, transforms
from sslcore.patches import patch_side
from sslcore.signals import Boxes

Positive = Annotated[float, Gt(0)]


class MaskedViews(TypedDict):
    """Views with a mask over their patches.

    `views` is (V, B, C, h, w); `mask` (V, B, L), bool, True where a patch is hidden; `visible`
    (V, B, K), int64, the positions of the other K patches, ascending.
    """

    views: Tensor
    mask: Tensor
    visible: Tensor


class PatchMask(nn.Module):
    """A random crop of each image, with most of its patches hidden (He et al. 2022, section 3).

    The crop is resized and mirrored at random (appendix A.1), then normalised. Patches are hidden
    uniformly at random, each image's own and equally many of each. In eval mode the view is the
    whole image, normalised, and nothing is hidden.

    Nothing is erased: `mask` and `visible` say what an encoder may look at. They say the same, but
    the length of `visible` is known without waiting for the device.

    Args:
        image_size: side of the images, and of the views, px.
        channels: channels of the images.
        patch_size: side of a patch, px; none means 2 for images of up to 16 px, 4 up to 64, else
            16. The encoder and the decoder must have the same `patch_size`.
        mask_ratio: fraction of the patches that is hidden, rounded to a whole number of patches.
        crop_scale: least and greatest area of a crop, as fractions of the image's area.
        crop_ratio: least and greatest width / height of a crop.
        interpolation: how crops are resized; bicubic, as in the paper's code, keeps edges sharper
            and takes longer.
        flip: probability that a view is mirrored left to right.
        mean: subtracted from the values of a view, one for all channels or one for each; none
            means 0.5.
        std: divisor of the centred values, one for all channels or one for each; none means
            0.25.

    Raises:
        ValueError: the patches don't fill the image, all or none of them would be hidden, a range
            is empty, or `mean` or `std` has neither 1 nor `channels` numbers.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        patch_size: Annotated[int, Ge(1)] | None = None,
        mask_ratio: Annotated[float, Gt(0), Lt(1)] = 0.75,
        crop_scale: tuple[Positive, Positive] = (0.2, 1.0),
        crop_ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3),
        interpolation: Literal["bilinear", "bicubic"] = "bilinear",
        flip: Annotated[float, Ge(0), Le(1)] = 0.5,
        mean: tuple[float, ...] | None = None,
        std: tuple[Positive, ...] | None = None,
    ) -> None:
        super().__init__()
        self.patches = (image_size // patch_side(image_size, patch_size)) ** 2
        self.hidden = round(mask_ratio * self.patches)
        if not 0 < self.hidden < self.patches:
            raise ValueError(
                f"mask_ratio: {mask_ratio:g} of {self.patches} patches is {self.hidden}, and some "
                "must be hidden and some visible; set another, or a smaller patch_size"
            )
        self.crops = transforms.RandomViews(
            size=image_size,
            channels=channels,
            views=1,
            crop_scale=crop_scale,
            crop_ratio=crop_ratio,
            interpolation=interpolation,
            flip=flip,
            jitter=0.0,
            grayscale=0.0,
            mean=(0.5,) if mean is None else tuple(mean),
            std=(0.25,) if std is None else tuple(std),
        )

    def boxes(self, sizes: Tensor, random: BatchRandom) -> dict[str, Boxes]:
        """Return the boxes of original images, of heights and widths (B, 2), to make views of."""
        return {"crops": self.crops.boxes(sizes, random)}

    def forward(
        self,
        images: Tensor | None = None,
        random: BatchRandom | None = None,
        crops: Tensor | None = None,
    ) -> MaskedViews:
        """Return views (1, B, C, h, h), `mask` (1, B, L) and `visible` (1, B, K).

        Args:
            images: (B, C, H, W), in [0, 1]; in eval mode, and where there are no `crops`.
            random: the step's random numbers; not used in eval mode.
            crops: the boxes of original images that `boxes` asked for, (1, B, C, h, h).

        Raises:
            ValueError: `random` is missing in training mode.
        """
        if not self.training:
            assert images is not None
            order = torch.arange(self.patches, device=images.device).expand(len(images), -1)
            return self._masked(self.crops.whole(images), order, hidden=0)
        if random is None:
            raise ValueError("patch-mask needs random numbers in training mode; pass `random`")
        # A source of their own, so that changing the crops leaves what is hidden as it was.
        order = random.fork("mask").permutations(self.patches)
        return self._masked(self.crops(images, random, crops), order, self.hidden)

    def describe(
        self, images: Tensor, random: BatchRandom, sizes: Tensor | None = None
    ) -> dict[str, list[list[str]]]:
        """Describe the draws for each view of each image, for previews."""
        return {"views": self.crops.describe(images, random, sizes)}

    def _masked(self, views: Tensor, order: Tensor, hidden: int) -> MaskedViews:
        """Return views (1, B, C, h, h) with what is hidden: the first of `order` (B, L)."""
        visible = order[:, hidden:].sort(1).values
        mask = torch.ones_like(order, dtype=torch.bool).scatter(1, visible, False)
        return {"views": views, "mask": mask[None], "visible": visible[None]}
