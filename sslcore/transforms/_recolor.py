"""Colours of many views on the CPU, where each view is due another row of adjustments.

Views that are due the same lie beside each other (`due_order` says in which order), so an
adjustment is made to a range of them at once, in place, and to none that is not due it. Views are
(C, N, M): channels first, so that one channel of a range is one piece of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

import torch
from torch import Tensor

from sslcore.transforms.color import GREY_WEIGHTS, turn_hue

BRIGHTNESS, CONTRAST, SATURATION, HUE, GREY = range(5)
#: Stands for no adjustment where a view is due fewer than others.
NOTHING = -1


def _ranks() -> Tensor:
    """Return the rank of each order of the four jitters, (256,), by its digits to the base 4.

    By rank, neighbours share what comes where for as long as possible: first the place of the
    hue, the dearest, and then two of the other three change places at a time.
    """
    ranks = torch.zeros(256, dtype=torch.int64)
    swapped = [(0, 1, 2), (0, 2, 1), (2, 0, 1), (2, 1, 0), (1, 2, 0), (1, 0, 2)]
    assert sorted(swapped) == sorted(permutations(range(3)))
    rank = 0
    for place in range(4):
        for others in swapped if place % 2 == 0 else reversed(swapped):
            order = [*others[:place], HUE, *others[place:]]
            ranks[sum(digit * 4 ** (3 - i) for i, digit in enumerate(order))] = rank
            rank += 1
    return ranks


_RANKS = _ranks()
_UNJITTERED = 24


def adjustments_due(
    jittered: Tensor, order: Tensor | None, grey: Tensor | None, *, colored: bool = True
) -> Tensor:
    """Return what each view is due, in turn: int64 (N, 5), filled up with `NOTHING`.

    Args:
        jittered: bool (N,).
        order: int64 (N, 4), in which order the jitters come; None for the order of their numbers.
        grey: bool (N,), which views are made grey in the end; None for none.
        colored: whether the views have colours; without, brightness and contrast are all there is
            to be due, and the result is (N, 2).
    """
    listed = torch.arange(4).expand(len(jittered), 4) if order is None else order
    if not colored:
        listed = listed[listed <= CONTRAST].view(-1, 2)
        return torch.where(jittered.unsqueeze(-1), listed, NOTHING)
    due = torch.full((len(jittered), 5), NOTHING)
    due[:, :4] = torch.where(jittered.unsqueeze(-1), listed, NOTHING)
    if grey is not None:
        due[:, 4] = torch.where(grey, GREY, NOTHING)
    return due


def due_rank(due: Tensor) -> Tensor:
    """Return a number (N,) by which to sort views, so that those due the same are neighbours."""
    jittered = due[:, 0] != NOTHING
    if due.shape[1] == 2:
        return due[:, 0]
    digits = torch.tensor([64, 16, 4, 1])
    rank = torch.where(jittered, _RANKS[(due[:, :4] * digits).sum(-1).clamp_min_(0)], _UNJITTERED)
    # Grey ones last and first by turns, so that they are neighbours of the next rank's.
    return rank * 2 + ((due[:, 4] == GREY) ^ (rank % 2 == 1))


def recolor(views: Tensor, due: Tensor, values: dict[int, Tensor]) -> None:
    """Adjust the colours of views (C, N, M), in place.

    Args:
        views: in [0, 1].
        due: as from `adjustments_due`.
        values: for each adjustment a number for each view (N,); what is not here is left out.
    """
    for turn in due.unbind(-1):
        for kind, part in _ranges(turn):
            if kind == GREY:
                _make_grey(views[:, part])
            elif kind in values:
                _ADJUST[kind](views[:, part], values[kind][part].unsqueeze(-1))


def recolor_channels(views: Tensor, due: Tensor, values: dict[int, Tensor]) -> None:
    """Adjust the brightness and contrast of each channel of views (C, N, M), in place.

    Args:
        views: in [0, 1]; channels are adjusted as grey images.
        due: as from `adjustments_due`.
        values: for each adjustment a number for each view and channel, (N, C).
    """
    channels, count, _ = views.shape
    grey = views.view(1, channels * count, -1)
    recolor(grey, due.repeat(channels, 1), {kind: v.T.flatten() for kind, v in values.items()})


def _ranges(kinds: Tensor) -> Iterator[tuple[int, slice]]:
    """Yield each run of one kind in `kinds` (N,), and where it is; not those of `NOTHING`."""
    found, lengths = torch.unique_consecutive(kinds, return_counts=True)
    start = 0
    for kind, length in zip(found.tolist(), lengths.tolist(), strict=True):
        if kind != NOTHING:
            yield kind, slice(start, start + length)
        start += length


def _adjust_brightness(views: Tensor, factor: Tensor) -> None:
    views.mul_(factor).clamp_(0.0, 1.0)


def _adjust_contrast(views: Tensor, factor: Tensor) -> None:
    means = views.mean(-1, keepdim=True)
    mean = _grey(means) if len(views) == 3 else means.mean(0)
    views.mul_(factor).add_(mean.mul_(1.0 - factor)).clamp_(0.0, 1.0)


def _adjust_saturation(views: Tensor, factor: Tensor) -> None:
    if len(views) == 3:
        torch.lerp(_grey(views), views, factor, out=views).clamp_(0.0, 1.0)


def _adjust_hue(views: Tensor, shift: Tensor) -> None:
    if len(views) != 3:
        return
    turn = shift * 6.0
    thirds = (turn / 2.0).round_()
    if thirds.any():
        channel = (torch.arange(3).view(-1, 1) - thirds.to(torch.int64).T) % 3
        views.copy_(views.gather(0, channel.unsqueeze(-1).expand_as(views)))
        turn = turn - 2.0 * thirds
    turn_hue(views, turn, dim=0, out=views)


def _make_grey(views: Tensor) -> None:
    if len(views) == 3:
        views.copy_(_grey(views).expand_as(views))


def _grey(views: Tensor) -> Tensor:
    red, green, blue = views
    grey = red * GREY_WEIGHTS[0]
    result: Tensor = grey.add_(green, alpha=GREY_WEIGHTS[1]).add_(blue, alpha=GREY_WEIGHTS[2])
    return result


_ADJUST: dict[int, Callable[[Tensor, Tensor], None]] = {
    BRIGHTNESS: _adjust_brightness,
    CONTRAST: _adjust_contrast,
    SATURATION: _adjust_saturation,
    HUE: _adjust_hue,
}
