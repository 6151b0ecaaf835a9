"""An augmentation that takes the frames of a clip as its views."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from sslcore import BatchRandom, transforms
from sslcore.signals import Views
from sslcore_cpc.statistics import channel_statistics


class Frames(nn.Module):
    """Consecutive frames of a clip in their order, each a view.

    Args:
        channels: channels of the frames.
        num_frames: frames in a clip.
        frames: how many consecutive frames are taken in training, from a random start; at least
            2, at most the frames of the clip; none means all.
        mean: subtracted from the channels, one for all or one for each; none means 0.5.
        std: divisor of the centred channels, > 0, one for all or one for each; none means 0.25.

    Raises:
        ValueError: a clip has fewer frames than are taken, or `mean` or `std` has neither 1 nor
            `channels` numbers.
    """

    def __init__(
        self,
        channels: int,
        num_frames: int,
        *,
        frames: Annotated[int, Ge(2)] | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[Annotated[float, Gt(0)], ...] | None = None,
    ) -> None:
        super().__init__()
        if frames is not None and frames > num_frames:
            raise ValueError(f"frames is {frames} but the clips have {num_frames}; make it smaller")
        self.num_frames = num_frames
        self.frames = frames if frames is not None else num_frames
        self.mean, self.std = channel_statistics(channels, mean, std)

    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        """Turn clips (B, T, C, H, W) in [0, 1] into views (V, B, C, H, W), standardised.

        Args:
            images: (B, T, C, H, W), in [0, 1].
            random: the step's random numbers; not used in eval mode, which gives all frames.

        Raises:
            ValueError: the clips have another number of frames than was announced, or `random`
                is missing in training mode.
        """
        if images.dim() != 5 or images.shape[1] != self.num_frames:
            raise ValueError(
                f"clips must be of shape (B, {self.num_frames}, C, H, W), got {tuple(images.shape)}"
            )
        clips = images
        if self.training and self.frames < self.num_frames:
            if random is None:
                raise ValueError("random is needed in training mode; pass a sslcore.BatchRandom")
            taken = self._taken(random)
            clips = images[torch.arange(len(images), device=images.device)[:, None], taken]
        views = clips.transpose(0, 1)
        flat = transforms.normalize(views.flatten(0, 1), self.mean, self.std)
        return {"views": flat.unflatten(0, views.shape[:2])}

    def describe(self, images: Tensor, random: BatchRandom) -> dict[str, list[list[str]]]:
        """Describe the frames taken from each clip, for previews."""
        numbers = torch.arange(self.num_frames).expand(len(images), -1)
        if self.frames < self.num_frames:
            numbers = self._taken(random)
        return {
            "views": [[f"frame {1 + number}" for number in view] for view in numbers.T.tolist()]
        }

    def _taken(self, random: BatchRandom) -> Tensor:
        """Return the numbers of the frames that are taken, (B, V)."""
        start = random.integers(0, self.num_frames - self.frames + 1, 1)
        return start + torch.arange(self.frames, device=start.device)
