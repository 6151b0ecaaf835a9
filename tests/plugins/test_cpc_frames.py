"""The frames augmentation: consecutive frames in order, the same for any split of the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sslcore import BatchRandom
from sslcore_cpc.frames import Frames

#: Statistics that leave values as they are.
AS_IS: dict[str, Any] = {"mean": (0.0,), "std": (1.0,)}


def clips(count: int = 6, length: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, length, 3, 5, 5, generator=generator)


def random_of(count: int = 6, seed: int = 0, step: int = 0) -> BatchRandom:
    return BatchRandom(seed, step, count)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frames", [None, 8])
def test_all_frames_are_views_in_their_order(training, frames):
    take = Frames(3, 8, frames=frames, **AS_IS).train(training)
    assert torch.equal(take(clips())["views"], clips().transpose(0, 1))


def test_eval_mode_takes_all_frames_however_many_training_takes():
    take = Frames(3, 8, frames=3, **AS_IS).eval()
    assert torch.equal(take(clips())["views"], clips().transpose(0, 1))


def starts_of(views: Tensor, whole: Tensor) -> list[int]:
    """Return the first frame of each clip's views, if they are consecutive frames of the clip."""
    length = len(views)
    return [
        next(
            start
            for start in range(whole.shape[1] - length + 1)
            if torch.equal(views[:, row], whole[row, start : start + length])
        )
        for row in range(len(whole))
    ]


def test_training_takes_consecutive_frames_from_a_start_of_each_clips_own():
    whole = clips(200)
    views = Frames(3, 8, frames=3, **AS_IS)(whole, random_of(200))["views"]
    assert views.shape == (3, 200, 3, 5, 5)
    assert set(starts_of(views, whole)) == {0, 1, 2, 3, 4, 5}


def test_starts_are_a_function_of_seed_and_step():
    take, whole = Frames(3, 8, frames=3), clips(50)
    views = take(whole, random_of(50, seed=3, step=5))["views"]
    torch.rand(7)
    assert torch.equal(take(whole, random_of(50, seed=3, step=5))["views"], views)
    assert not torch.equal(take(whole, random_of(50, seed=4, step=5))["views"], views)
    assert not torch.equal(take(whole, random_of(50, seed=3, step=6))["views"], views)


def test_any_split_of_the_batch_gives_the_same_views():
    take, whole = Frames(3, 8, frames=3), clips()
    parts = [slice(0, 1), slice(1, 4), slice(4, 6)]
    made = [take(whole[rows], BatchRandom(0, 0, 6, rows=rows))["views"] for rows in parts]
    assert torch.equal(torch.cat(made, 1), take(whole, random_of())["views"])


def test_views_are_centred_and_scaled_by_channel():
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    views = Frames(3, 8, mean=mean, std=std)(clips())["views"]
    for channel in range(3):
        expected = (clips().transpose(0, 1)[:, :, channel] - mean[channel]) / std[channel]
        torch.testing.assert_close(views[:, :, channel], expected)
    torch.testing.assert_close(Frames(3, 8)(clips())["views"], (clips().transpose(0, 1) - 0.5) * 4)


def test_clips_are_left_alone():
    whole = clips()
    Frames(3, 8, frames=3)(whole, random_of())
    assert torch.equal(whole, clips())


def test_random_start_asks_for_random_numbers():
    with pytest.raises(ValueError, match="random is needed"):
        Frames(3, 8, frames=3)(clips())


def test_more_frames_than_a_clip_has_are_refused():
    with pytest.raises(ValueError, match="frames is 9 but the clips have 8"):
        Frames(3, 8, frames=9)


@pytest.mark.parametrize("shape", [(6, 3, 5, 5), (6, 7, 3, 5, 5)])
def test_other_clips_than_announced_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(B, 8, C, H, W\)"):
        Frames(3, 8)(torch.rand(shape))


def test_statistics_of_another_number_of_channels_are_refused():
    with pytest.raises(ValueError, match="std has 2 numbers and the images have 3 channels"):
        Frames(3, 8, std=(0.5, 0.5))
