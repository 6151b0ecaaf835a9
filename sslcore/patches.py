"""Images as patches, row by row, and the position embeddings of patches.

An augmentation that masks patches, its encoder and its decoder share these functions, so that they
agree on the order and the side of patches.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Sides of views, px, up to which patches are of the second side by default.
_PATCHES = ((16, 2), (64, 4))
#: The side of patches of larger views, px.
_LARGE_PATCH = 16
#: The longest wavelength of a position, in units of 2π patches. It is 10,000 in the paper, where
#: all but the fastest sines hardly move over the eight patches along the side of a small view.
_LONGEST = 100.0


def patch_side(image_size: int, patch_size: int | None) -> int:
    """Return the side of the patches that a view is cut into, px.

    Args:
        image_size: side of the views, px.
        patch_size: the setting; None means 2 for views of up to 16 px, 4 up to 64, else 16.

    Raises:
        ValueError: the side of the views is not a multiple of the side of the patches.
    """
    if patch_size is None:
        patch_size = next((side for most, side in _PATCHES if image_size <= most), _LARGE_PATCH)
    if image_size % patch_size:
        fitting = [str(side) for side in range(1, image_size + 1) if image_size % side == 0]
        raise ValueError(
            f"patch_size: views of {image_size} px can't be cut into patches of {patch_size} px; "
            f"use one of {', '.join(fitting)} px"
        )
    return patch_size


def cut(images: Tensor, side: int) -> Tensor:
    """Return the patches (..., L, C·side²) of images (..., C, h, w)."""
    cells = images.unfold(-2, side, side).unfold(-2, side, side)
    return cells.movedim(-5, -3).flatten(-3).flatten(-3, -2)


def joined(patches: Tensor, channels: int, side: int) -> Tensor:
    """Return the square images (..., C, h, w) of patches (..., L, C·side²); inverse of `cut`."""
    grid = math.isqrt(patches.shape[-2])
    cells = patches.unflatten(-1, (channels, side, side)).unflatten(-4, (grid, grid))
    # From (row, column, channel, y, x) to (channel, row, y, column, x).
    result: Tensor = cells.movedim(-3, -5).movedim(-2, -3).flatten(-4, -3).flatten(-2)
    return result


def sines_and_cosines(
    rows: int, columns: int, width: int, device: torch.device | None = None
) -> Tensor:
    """Return the position embedding of each patch of a grid, (rows·columns, width), row by row.

    The first quarter of an embedding holds sines of the column, the second its cosines; the third
    and the fourth hold those of the row. Wavelengths range from 2π to nearly 100·2π
    patches (Vaswani et al. 2017, section 3.5, for two axes as in He et al. 2022, appendix A.1, with
    100 in the place of 10,000).

    Args:
        rows: rows of patches.
        columns: columns of patches.
        width: length of a token, a multiple of 4.
        device: where to compute.
    """
    quarter = width // 4
    steps = torch.arange(quarter, dtype=torch.float32, device=device)
    frequencies = _LONGEST ** -(steps / quarter)

    def along(count: int) -> Tensor:
        places = torch.arange(count, dtype=torch.float32, device=device)
        angles = places[:, None] * frequencies
        return torch.cat((angles.sin(), angles.cos()), -1)

    across = along(columns)[None].expand(rows, -1, -1)
    down = along(rows)[:, None].expand(-1, columns, -1)
    return torch.cat((across, down), -1).flatten(0, 1)
