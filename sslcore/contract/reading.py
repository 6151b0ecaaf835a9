"""How images are read: settings of the section `data` that every data set has beside its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from sslcore.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The settings by which images of any size, type and channels are brought into one form.

    Args:
        image_size: side of the images, px: the short side is scaled to it and the centre is
            cropped, where no boxes of the originals are taken; none keeps the size of equal
            squares of up to 256 px, and otherwise takes the median short side, at most 96.
        channels: number of channels; 1 turns colour into grey, and 3 grey into colour; auto is 1
            if all images are grey, and otherwise the number that the images have.
        range: the values that become 0 and 1, for example [0, 4095]; none is 0 and 255 for images
            of 8 bits, and is found in a sample of the others.
        scale_bytes: whether `range` is also that of images of 8 bits; none means yes where all
            training images have 8 bits.
        cache: decoded keeps resized images on disk; none reads the originals each time; auto reads
            the originals where the augmentation takes boxes of them, or where the cache would
            exceed its limit, and otherwise keeps resized images.
        cache_limit: most that resized images may take on disk, GB.
        statistics: whether the mean and the standard deviation by which views are normalised are
            those of the training images, measured on a sample, in place of the augmentation's.
        background: colour below transparent parts, a name or #rrggbb.

    Raises:
        SettingsError: the range is empty or reversed.
    """

    image_size: Annotated[int, Ge(1)] | None = None
    channels: Literal["auto"] | Annotated[int, Ge(1)] = "auto"
    range: tuple[float, float] | None = None
    scale_bytes: bool | None = None
    cache: Literal["auto", "decoded", "none"] = "auto"
    cache_limit: Annotated[float, Gt(0)] = 20.0
    statistics: bool = False
    background: str = "white"

    def __post_init__(self) -> None:
        if self.range is not None and not self.range[0] < self.range[1]:
            low, high = self.range
            raise SettingsError(
                [f"data.range: expected [low, high] with low below high, got [{low:g}, {high:g}]"]
            )
