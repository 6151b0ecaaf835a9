"""Operations that move pixels: crops, flips, rotations, translations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.functional import without_autocast
from sslcore.transforms._batch import accurate, check_images, per_sample
from sslcore.transforms._taps import FILTERS, Interpolation, crop_planes, resize_taps, sums_rows


def resize(images: Tensor, size: int) -> Tensor:
    """Resize the images to squares, bilinearly with antialiasing.

    Args:
        images: float (N, C, H, W).
        size: side of the result, px; images that are not square are stretched.

    Returns:
        (N, C, size, size); the same tensor if the images have that size already.
    """
    check_images(images)
    if images.shape[-2:] == (size, size):
        return images
    wide = images.to(accurate(images.dtype))
    return F.interpolate(wide, size=(size, size), mode="bilinear", antialias=True).to(images.dtype)


def resized_crop(
    images: Tensor,
    top: Tensor,
    left: Tensor,
    height: Tensor,
    width: Tensor,
    size: int,
    flip: Tensor | None = None,
    *,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Cut a box out of each image, resize it with antialiasing, and mirror it.

    Crop, resize and flip together are one matrix on the rows of an image and one on its columns.
    The result equals that of torchvision's `resized_crop(antialias=True)` to within 1e-5, in
    float32, for images in [0, 1] of up to 128 px (for larger images, torchvision's rounding errors
    grow). Bicubic results are clamped to [0, 1], as in PIL.

    Args:
        images: float (B, C, H, W).
        top: first row of the box, in whole pixels; (B,), or (V, B) for V crops of each image.
        left: first column of the box, shaped as `top`.
        height: rows in the box, ≥ 1, shaped as `top`; the box must lie within the image.
        width: columns in the box, as `height`.
        size: side of the result, px.
        flip: whether to mirror each result left to right, bool, shaped as `top`; None mirrors none.
        interpolation: "bilinear", or "bicubic", which keeps edges sharper and takes longer.

    Returns:
        (B, C, size, size), or (V, B, C, size, size) if `top` is (V, B).

    Raises:
        ValueError: a shape differs from the above, or the interpolation is unknown.
    """
    check_images(images)
    if interpolation not in FILTERS:
        raise ValueError(
            f"interpolation: expected one of {', '.join(FILTERS)}, got {interpolation!r}"
        )
    shape = top.shape
    if top.dim() not in (1, 2) or shape[-1] != len(images):
        raise ValueError(
            f"top: expected shape ({len(images)},) or (V, {len(images)}), got {tuple(shape)}"
        )
    others = {"left": left, "height": height, "width": width}
    if flip is not None:
        others["flip"] = flip
    for name, values in others.items():
        if values.shape != shape:
            raise ValueError(f"{name}: expected shape {tuple(shape)}, got {tuple(values.shape)}")

    wide = images.to(accurate(images.dtype))
    boxes = ((top, height, wide.shape[-2]), (left, width, wide.shape[-1]))
    make = _crops_by_sums if sums_rows(images) else _crops_by_products
    crops = make(wide, *boxes, size, flip, interpolation)
    if interpolation == "bicubic":
        crops = crops.clamp(0.0, 1.0)
    return crops.to(images.dtype)


#: A segment of a line: its first pixel, its length, and the length of the line, in pixels.
_Segment = tuple[Tensor, Tensor, int]


def _crops_by_sums(
    images: Tensor,
    vertical: _Segment,
    horizontal: _Segment,
    size: int,
    flip: Tensor | None,
    interpolation: Interpolation,
) -> Tensor:
    """Crop as `resized_crop` does, by weighted sums of the needed pixels only."""
    shape = vertical[0].shape
    owner = torch.arange(len(images), device=images.device).expand(shape).flatten()
    (top, height, rows), (left, width, columns) = vertical, horizontal
    mirrored = None if flip is None else flip.flatten()
    dtype = images.dtype
    crops = crop_planes(
        images,
        owner,
        resize_taps(top.flatten(), height.flatten(), size, rows, interpolation, None, dtype),
        resize_taps(left.flatten(), width.flatten(), size, columns, interpolation, mirrored, dtype),
    )
    result: Tensor = crops.permute(1, 0, 3, 2).contiguous().unflatten(0, shape)
    return result


def _crops_by_products(
    images: Tensor,
    vertical: _Segment,
    horizontal: _Segment,
    size: int,
    flip: Tensor | None,
    interpolation: Interpolation,
) -> Tensor:
    """Crop as `resized_crop` does, with two matrix products for each crop."""
    target = torch.arange(size, device=images.device)
    rows = _resize_weights(vertical, target, interpolation, images.dtype)
    if flip is not None:
        target = torch.where(flip.unsqueeze(-1), target.flip(0), target)
    columns = _resize_weights(horizontal, target, interpolation, images.dtype)
    several = vertical[0].dim() == 2
    if not several:
        rows, columns = rows.unsqueeze(0), columns.unsqueeze(0)
    crops = _product_over_axes(images, rows.transpose(0, 1), columns.transpose(0, 1))
    return crops if several else crops.squeeze(0)


def _resize_weights(
    segment: _Segment, target: Tensor, interpolation: Interpolation, dtype: torch.dtype
) -> Tensor:
    """Return the weights of a line's pixels in each pixel of a resized segment.

    Args:
        segment: first pixels (*,), lengths (*,), pixels in the line.
        target: int64 (size,) or (*, size), indices of the pixels to compute.
        interpolation: the filter.
        dtype: dtype of the weights.

    Returns:
        (*, size, side), every row summing to 1.
    """
    weight_at, _ = FILTERS[interpolation]
    start, length = (value.unsqueeze(-1) for value in segment[:2])
    size = target.shape[-1]
    # The centre of an output pixel, split into whole pixels and a fraction, so that rounding does
    # not depend on its distance from the border.
    centre = (2 * target + 1) * length
    whole = centre.div(2 * size, rounding_mode="floor")
    part = (centre - whole * (2 * size)).to(dtype) / (2 * size)
    pixel = torch.arange(segment[2], device=target.device)
    distance = (pixel - (start + whole).unsqueeze(-1)).to(dtype) + (0.5 - part).unsqueeze(-1)
    # When shrinking, the filter's unit is the distance between two output pixels, so that every
    # input pixel counts; when enlarging, it is one input pixel.
    scale = (length.to(dtype) / size).clamp_min(1.0).unsqueeze(-1)
    inside = (pixel >= start) & (pixel < start + length)
    weights = weight_at(distance.div_(scale))
    weights.mul_(inside.unsqueeze(-2))
    return weights.div_(weights.sum(-1, keepdim=True))


def _product_over_axes(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return `rows @ image @ columns.T` for every channel of every image, V times.

    Args:
        images: (B, C, H, W), of the type of the matrices.
        rows: (B, V, h, H), the weights of the input's rows in each row of the output.
        columns: (B, V, w, W), the same for columns.

    Returns:
        (V, B, C, h, w), contiguous.
    """
    batch, channels, height, width = images.shape
    views, new_height, new_width = rows.shape[1], rows.shape[2], columns.shape[2]
    with without_autocast(images.device):
        # Channels are placed side by side, so that one product computes all of them.
        lines = images.transpose(1, 2).reshape(batch, height, channels * width)
        lines = torch.bmm(rows.reshape(batch, views * new_height, height), lines)
        lines = lines.view(batch * views, new_height * channels, width)
        pixels = torch.bmm(lines, columns.reshape(batch * views, new_width, width).mT)
    pixels = pixels.view(batch, views, new_height, channels, new_width)
    return pixels.permute(1, 0, 3, 2, 4).contiguous()


def horizontal_flip(images: Tensor, flip: Tensor) -> Tensor:
    """Mirror left to right the images for which `flip`, bool (N,), is True."""
    check_images(images)
    return torch.where(per_sample(flip, images, "flip"), images.flip(-1), images)


def affine(images: Tensor, degrees: Tensor, translate: Tensor) -> Tensor:
    """Rotate each image about its centre, then shift it; bilinear, with 0 outside the image.

    The result equals that of torchvision's `affine` with bilinear interpolation to within 1e-4, in
    float32, for images in [0, 1] of up to 256 px.

    Args:
        images: float (N, C, H, W).
        degrees: (N,) angles, clockwise.
        translate: (N, 2) shifts to the right and down, px.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: a shape differs from the above.
    """
    check_images(images)
    if translate.shape != (len(images), 2):
        raise ValueError(
            f"translate: expected shape ({len(images)}, 2), got {tuple(translate.shape)}"
        )
    wide = images.to(accurate(images.dtype))
    height, width = images.shape[-2:]
    angle = torch.deg2rad(per_sample(degrees, wide, "degrees").view(-1, 1, 1))
    right, down = translate.to(wide.dtype).view(-1, 2, 1, 1).unbind(1)
    x = torch.arange(width, dtype=wide.dtype, device=wide.device) + (0.5 - width / 2)
    y = torch.arange(height, dtype=wide.dtype, device=wide.device) + (0.5 - height / 2)
    x, y = x.view(1, 1, -1) - right, y.view(1, -1, 1) - down
    # The source of each output pixel: undo the shift, then the rotation.
    cosine, sine = angle.cos(), angle.sin()
    source_x = (cosine * x + sine * y) * (2 / width)
    source_y = (cosine * y - sine * x) * (2 / height)
    grid = torch.stack((source_x, source_y), dim=-1)
    return F.grid_sample(wide, grid, padding_mode="zeros", align_corners=False).to(images.dtype)
