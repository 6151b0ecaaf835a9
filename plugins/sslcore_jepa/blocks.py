"""The augmentation of I-JEPA: a view, blocks of it to predict, and the context to predict from."""

from __future__ import annotations

import math
from typing import Annotated, NotRequired, TypedDict

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from sslcore import BatchRandom, transforms
from sslcore.patches import patch_side
from sslcore.signals import Boxes

Positive = Annotated[float, Gt(0)]
Part = Annotated[float, Gt(0), Le(1)]


class ViewsAndBlocks(TypedDict):
    """Views with the patches that are visible, and those that are to be predicted.

    `views` is (V, B, C, h, w); `mask` (V, B, L), bool, True where a patch is hidden; `visible`
    (V, B, K), int64, the positions of the other K patches, ascending; `target_positions`
    (V, B, M, P), int64, the positions of the P patches of each of M blocks, ascending, in training
    mode.
    """

    views: Tensor
    mask: Tensor
    visible: Tensor
    target_positions: NotRequired[Tensor]


class BlockMask(nn.Module):
    """A random crop of each image, blocks of patches to predict, and a context (I-JEPA).

    Assran et al. 2023, section 3: the targets are blocks of one size in all images of a step, each
    at a place of its own. The context is a large block without the patches of the targets. Images
    of one batch have contexts of different sizes; each keeps as many patches as the smallest one
    has, drawn at random. (The authors' code keeps the first ones, from the top.) In eval mode the
    view is the whole image, and nothing is hidden.

    Args:
        image_size: side of the images, and of the views, px.
        channels: channels of the images.
        patch_size: side of a patch, px; none means 2 for images of up to 16 px, 4 up to 64, else
            16. The encoder and the predictor must have the same `patch_size`.
        targets: blocks to predict, M.
        target_scale: least and greatest area of a target, as fractions of the view.
        target_ratio: least and greatest height / width of a target.
        context_scale: least and greatest area of the context, before targets are cut out of it.
        min_context: least number of patches in a context. Where the targets leave fewer, the
            context overlaps the last of them.
        crop_scale: least and greatest area of a crop, as fractions of the image's area.
        crop_ratio: least and greatest width / height of a crop.
        flip: probability that a view is mirrored left to right.
        mean: subtracted from the values of a view, one for all channels or one for each; none
            means 0.5.
        std: divisor of the centred values, one for all channels or one for each; none means
            0.25.

    Raises:
        ValueError: the patches don't fill the image, the context may have too few of them, a range
            is empty, or `mean` or `std` has neither 1 nor `channels` numbers.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        patch_size: Annotated[int, Ge(1)] | None = None,
        targets: Annotated[int, Ge(1)] = 4,
        target_scale: tuple[Part, Part] = (0.15, 0.2),
        target_ratio: tuple[Positive, Positive] = (0.75, 1.5),
        context_scale: tuple[Part, Part] = (0.85, 1.0),
        min_context: Annotated[int, Ge(1)] = 4,
        crop_scale: tuple[Positive, Positive] = (0.3, 1.0),
        crop_ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3),
        flip: Annotated[float, Ge(0), Le(1)] = 0.0,
        mean: tuple[float, ...] | None = None,
        std: tuple[Positive, ...] | None = None,
    ) -> None:
        super().__init__()
        ranges = {
            "target_scale": target_scale,
            "target_ratio": target_ratio,
            "context_scale": context_scale,
        }
        for name, (low, high) in ranges.items():
            if low > high:
                raise ValueError(f"{name}: the range is empty, from {low:g} to {high:g}")
        self.grid = image_size // patch_side(image_size, patch_size)
        self.targets, self.min_context = targets, min_context
        self.target_scale, self.target_ratio = target_scale, target_ratio
        self.context_scale = context_scale
        least = math.prod(self._block(context_scale, 0.0, (1.0, 1.0), 0.0))
        if least < min_context:
            raise ValueError(
                f"min_context: the context may be a block of {least} patches, fewer than "
                f"{min_context}; set a larger context_scale, or a smaller patch_size"
            )
        self.crops = transforms.RandomViews(
            size=image_size,
            channels=channels,
            views=1,
            crop_scale=crop_scale,
            crop_ratio=crop_ratio,
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
    ) -> ViewsAndBlocks:
        """Return `views` (1, B, C, h, h), `mask`, `visible`, and in training `target_positions`.

        Args:
            images: (B, C, H, W), in [0, 1]; in eval mode, and where there are no `crops`.
            random: the step's random numbers; not used in eval mode.
            crops: the boxes of original images that `boxes` asked for, (1, B, C, h, h).

        Raises:
            ValueError: `random` is missing in training mode.
        """
        if not self.training:
            assert images is not None
            visible = torch.arange(self.grid**2, device=images.device).expand(len(images), -1)
            hidden = torch.zeros_like(visible, dtype=torch.bool)
            views = self.crops.whole(images)
            return {"views": views, "mask": hidden[None], "visible": visible[None]}
        if random is None:
            raise ValueError("block-mask needs random numbers in training mode; pass `random`")
        views = self.crops(images, random, crops)
        targets, visible = (item[random.rows].to(views.device) for item in self._draw(random))
        hidden = visible.new_ones(len(visible), self.grid**2, dtype=torch.bool)
        return {
            "views": views,
            "mask": hidden.scatter(1, visible, False)[None],
            "visible": visible[None],
            "target_positions": targets[None],
        }

    def describe(
        self, images: Tensor, random: BatchRandom, sizes: Tensor | None = None
    ) -> dict[str, list[list[str]]]:
        """Describe the draws for each view of each image, for previews."""
        return {"views": self.crops.describe(images, random, sizes)}

    def _draw(self, random: BatchRandom) -> tuple[Tensor, Tensor]:
        """Return targets (B, M, P) and contexts (B, K) of all images of the step, on the CPU.

        All images, since the smallest context of the step decides about K in every process.
        """
        # Sizes are needed on the host: from another device they would have to be waited for.
        random = random.on("cpu")
        sizes = random.shared("blocks", 3).tolist()
        every = random.fork("blocks").whole()
        places = every.uniform(self.targets + 1, 2)
        order = every.uniform(self.grid**2)
        target = self._block(self.target_scale, sizes[0], self.target_ratio, sizes[1])
        context = self._block(self.context_scale, sizes[2], (1.0, 1.0), 0.0)
        blocks = self._cells(places[:, :-1], target)
        whole = self._cells(places[:, -1:], context)[:, 0]
        inside = whole & ~blocks.any(1)
        # As in the authors' code, the context may overlap the last targets where it is too small.
        for kept in reversed(range(self.targets)):
            small = inside.sum(1, keepdim=True) < self.min_context
            inside = torch.where(small, whole & ~blocks[:, :kept].any(1), inside)
        fewest = int(inside.sum(1).min())
        chosen = order.masked_fill(~inside, 2.0).argsort(1)[:, :fewest].sort(1).values
        patches = target[0] * target[1]
        positions = blocks.to(torch.uint8).argsort(dim=2, descending=True, stable=True)
        return positions[..., :patches], chosen

    def _block(
        self,
        scale: tuple[float, float],
        drawn_scale: float,
        ratio: tuple[float, float],
        drawn_ratio: float,
    ) -> tuple[int, int]:
        """Return height and width of a block, in patches, from numbers in [0, 1)."""
        area = int(self.grid**2 * (scale[0] + drawn_scale * (scale[1] - scale[0])))
        shape = ratio[0] + drawn_ratio * (ratio[1] - ratio[0])
        sides = (math.sqrt(area * shape), math.sqrt(area / shape))
        height, width = (min(self.grid, max(1, round(side))) for side in sides)
        return height, width

    def _cells(self, places: Tensor, size: tuple[int, int]) -> Tensor:
        """Return which patches blocks cover, bool (B, M, L).

        Args:
            places: (B, M, 2), where each block is, from 0, top or left, to 1.
            size: height and width of the blocks, in patches.
        """
        room = torch.tensor([self.grid - side + 1 for side in size])
        corner = (places * room).long()
        along = torch.arange(self.grid)
        rows, columns = (
            (along >= start[..., None]) & (along < start[..., None] + side)
            for start, side in zip(corner.unbind(-1), size, strict=True)
        )
        return (rows[..., :, None] & columns[..., None, :]).flatten(-2)
