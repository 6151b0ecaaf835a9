"""LeJEPA (Balestriero & LeCun 2025) in one file: near views, normally distributed projections."""

from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

import sslcore


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="recent-lejepa",
        summary="Distance from the mean of the views, and from a normal distribution",
        reference="Balestriero & LeCun 2025, arXiv:2511.08544",
        build="lejepa:LeJEPA",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="recent-lejepa",
        summary="Near views, and projections that follow a normal distribution",
        augmentation="multi-crop",
        encoder="small-cnn",
        head="projection",
        loss="recent-lejepa",
        settings={"head": {"batch_norm": True}, "optimizer": {"name": "AdamW", "lr": 2e-3}},
    )


class LeJEPA(nn.Module):
    def __init__(
        self,
        *,
        weight: Annotated[float, Ge(0), Le(1)] = 0.05,
        slices: Annotated[int, Ge(1)] = 256,
    ) -> None:
        super().__init__()
        self.weight, self.slices = weight, slices
        self.register_buffer("at", torch.linspace(0, 3, 17))

    def forward(self, projections: Tensor, random: sslcore.BatchRandom) -> Tensor:
        near = (projections - projections[:2].mean(0)).square().mean()
        uniform = random.shared("directions", projections.shape[-1], self.slices)
        directions = torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6)).to(projections)
        sliced = projections @ (directions / directions.norm(dim=0))
        angles = sliced[..., None] * self.at
        window = (-self.at.square() / 2).exp()
        off = (angles.cos().mean(1) - window).square() + angles.sin().mean(1).square()
        areas = 2 * torch.trapezoid(off * window, self.at)
        return (1 - self.weight) * near + self.weight * projections.shape[1] * areas.mean()
