"""By what the channels of images are centred and divided."""

from __future__ import annotations

_MEAN, _STD = 0.5, 0.25


def channel_statistics(
    channels: int, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std as given, or 0.5 and 0.25 where they are None.

    Raises:
        ValueError: one has neither 1 nor `channels` numbers, or `std` is not positive.
    """
    mean, std = mean if mean is not None else (_MEAN,), std if std is not None else (_STD,)
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise ValueError(
                f"{name} has {len(values)} numbers and the images have {channels} channels; "
                f"give 1 or {channels}"
            )
    if min(std) <= 0:
        raise ValueError(f"std must be > 0, got {std}")
    return tuple(mean), tuple(std)
