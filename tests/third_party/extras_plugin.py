"""A third party's method whose images come with more than a label: a map, a place, and a time."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import torch
from torch import Tensor, nn

import sslcore
from sslcore.data import Data, Split

_MODULE = __name__
_SIDE, _CROP = 16, 12


@sslcore.hookimpl
def sslcore_datasets():
    yield sslcore.Dataset(
        name="scenes",
        summary="Bright squares on noise, with a map, a place and a time each",
        build=f"{_MODULE}:scenes",
        provides=("segmentation", "place", "hour"),
    )


@sslcore.hookimpl
def sslcore_augmentations():
    yield sslcore.Augmentation(
        name="crop-with-map",
        summary="Crops of an image, and of its map where it has one",
        build=f"{_MODULE}:CropWithMap",
    )


@sslcore.hookimpl
def sslcore_encoders():
    yield sslcore.Encoder(
        name="knows-the-place",
        summary="A linear layer on pixels, shifted by the place",
        build=f"{_MODULE}:KnowsThePlace",
    )


@sslcore.hookimpl
def sslcore_heads():
    yield sslcore.Head(
        name="area", summary="Predict how much of the crop is square", build=f"{_MODULE}:Area"
    )


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="remembered-area",
        summary="Squared error of the area, and change since the last epoch",
        build=f"{_MODULE}:RememberedArea",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="areas",
        summary="Predict areas",
        augmentation="crop-with-map",
        encoder="knows-the-place",
        head="area",
        loss="remembered-area",
        data="scenes",
        settings={"training": {"epochs": 2, "batch_size": 8, "precision": "fp32"}},
    )


def scenes(*, count: int = 40) -> Data:
    """Return grey images of squares; the last quarter is for testing."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 64, (count, 1, _SIDE, _SIDE), generator=generator, dtype=torch.uint8)
    maps = torch.zeros(count, _SIDE, _SIDE, dtype=torch.bool)
    places = torch.randint(0, _SIDE // 2, (count, 2), generator=generator)
    for row, (top, left) in enumerate(places.tolist()):
        maps[row, top : top + 8, left : left + 8] = True
    images[maps[:, None]] = 255
    extras = {
        "segmentation": maps,
        "place": places.float() / _SIDE,
        "hour": torch.arange(count, dtype=torch.int16) % 24,
    }
    train, test = torch.arange(count * 3 // 4), torch.arange(count * 3 // 4, count)
    whole = Split(images, torch.arange(count) % 2, extras=extras)
    return Data(whole.subset(train), whole.subset(test), classes=("even", "odd"))


class ViewsAndMaps(TypedDict):
    """Views, and the map of each, (V, B, h, w)."""

    views: Tensor
    segmentation: NotRequired[Tensor]


class CropWithMap(nn.Module):
    """Two crops of an image, and the same two of its map."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.room = image_size - _CROP

    def forward(
        self,
        images: Tensor,
        random: sslcore.BatchRandom | None = None,
        segmentation: Tensor | None = None,
    ) -> ViewsAndMaps:
        batch = len(images)
        if self.training:
            corners = random.integers(0, self.room + 1, 2, 2)
        else:
            corners = torch.full((batch, 1, 2), self.room // 2, device=images.device)
        views = _crops(images, corners)
        if segmentation is None:
            return {"views": views}
        return {"views": views, "segmentation": _crops(segmentation, corners)}


def _crops(images: Tensor, corners: Tensor) -> Tensor:
    """Return the crops (V, B, …, 12, 12) at corners (B, V, 2)."""
    within = torch.arange(_CROP, device=images.device)
    rows = (corners[..., 0, None] + within)[..., :, None]
    columns = (corners[..., 1, None] + within)[..., None, :]
    which = torch.arange(len(images), device=images.device)[:, None, None, None]
    channels_last = images.movedim(1, -1) if images.dim() == 4 else images
    found = channels_last[which, rows, columns].transpose(0, 1)
    return found.movedim(-1, 2) if images.dim() == 4 else found


class Features(TypedDict):
    """Features (V·B, F)."""

    features: Tensor


class KnowsThePlace(nn.Module):
    """A linear layer; it records the shape of the places that it was given."""

    def __init__(self, channels: int, image_size: int, num_images: int | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(channels * image_size**2, 8)
        self.shift = nn.Linear(2, 8)
        self.num_images, self.seen = num_images, None

    def forward(self, views: Tensor, place: Tensor | None = None) -> Features:
        features = self.layer(views.flatten(1))
        self.seen = None if place is None else tuple(place.shape)
        if place is not None:
            features = features + self.shift(place.to(features.dtype))
        return {"features": features}


class Areas(TypedDict):
    """Projections (V, B, 1)."""

    projections: Tensor


class Area(nn.Module):
    """A linear layer of the features, with the hour."""

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(feature_dim + 1, 1)

    def forward(self, features: Tensor, hour: Tensor) -> Areas:
        hours = (hour.to(features.dtype) / 24).expand(len(features), -1)[..., None]
        return {"projections": self.layer(torch.cat((features, hours), -1))}


class RememberedArea(nn.Module):
    """Squared error, and the change of each image's prediction since it was seen last."""

    def __init__(self, num_images: int, epochs: int, steps_per_epoch: int) -> None:
        super().__init__()
        self.register_buffer("memory", torch.zeros(num_images))
        self.register_buffer("seen", torch.zeros(num_images, dtype=torch.bool))
        self.last_step = epochs * steps_per_epoch - 1

    def forward(
        self,
        projections: Tensor,
        segmentation: Tensor,
        place: Tensor,
        indices: Tensor,
        step: int,
        progress: float,
    ) -> Tensor:
        assert step <= self.last_step
        assert abs(progress * (self.last_step + 1) - step) <= 0.5
        wanted = segmentation.to(projections.dtype).mean((-2, -1))
        error = (projections[..., 0] - wanted).square().mean()
        now = projections[..., 0].mean(0)
        change = (now - self.memory[indices]).square() * self.seen[indices]
        self.memory[indices] = now.detach()
        self.seen[indices] = True
        near = (projections.mean(0) * place.to(projections.dtype)).mean()
        return error + 0.1 * change.mean() + 0.01 * near
