"""CLIP (Radford et al. 2021) in one file: which caption belongs to which image?"""

from typing import Annotated, TypedDict

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn import functional as F

import sslcore
from sslcore.data import Data, Split

#: Ten digits, and three words for how much ink there is.
WORDS = (*"0123456789", "thin", "plain", "bold")


@sslcore.hookimpl
def sslcore_datasets():
    yield sslcore.Dataset(
        name="recent-clip",
        summary="Digits with captions of two words",
        build="clip:captioned",
        provides=("captions",),
    )


@sslcore.hookimpl
def sslcore_heads():
    yield sslcore.Head(
        name="recent-clip", summary="Images and captions in one space", build="clip:TwoTowers"
    )


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="recent-clip",
        summary="Identify the caption of an image, and the image of a caption",
        reference="Radford et al. 2021, arXiv:2103.00020, figure 3",
        build="clip:Contrast",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="recent-clip",
        summary="Identify the caption of an image",
        data="recent-clip",
        augmentation="light",
        encoder="small-cnn",
        head="recent-clip",
        loss="recent-clip",
    )


def captioned(*, image_size: Annotated[int, Ge(8)] = 16) -> Data:
    """Return digits, each with a caption of two words, int64 (N, 2).

    Args:
        image_size: side of the images, px.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)
    images = F.interpolate(images, size=image_size, mode="bilinear").round().to(torch.uint8)
    labels = torch.from_numpy(digits.target).long()
    ink = images.double().mean((1, 2, 3))
    words = torch.bucketize(ink, ink.quantile(torch.tensor([1 / 3, 2 / 3]).double())) + 10
    captions = torch.stack((labels, words), 1)
    parts = slice(0, 1347), slice(1347, None)
    train, test = (
        Split(images[part], labels[part], extras={"captions": captions[part]}) for part in parts
    )
    return Data(train=train, test=test, classes=tuple("0123456789"))


class Towers(TypedDict):
    """`projections` and `caption_projections`: (V, B, D) each."""

    projections: Tensor
    caption_projections: Tensor


class TwoTowers(nn.Module):
    def __init__(self, feature_dim: int, *, dim: Annotated[int, Ge(1)] = 64) -> None:
        super().__init__()
        self.image = nn.Linear(feature_dim, dim)
        self.words = nn.Embedding(len(WORDS), dim)
        self.text = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, features: Tensor, captions: Tensor) -> Towers:
        texts = self.text(self.words(captions).mean(1))
        return {
            "projections": self.image(features),
            "caption_projections": texts.expand(len(features), -1, -1),
        }


class Contrast(nn.Module):
    def __init__(self, *, temperature: Annotated[float, Gt(0)] = 0.07) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1 / temperature).log())

    def forward(self, projections: Tensor, caption_projections: Tensor) -> Tensor:
        images, texts = (F.normalize(x, dim=-1) for x in (projections, caption_projections))
        scores = images @ texts.mT * self.scale.exp().clamp_max(100)
        own = torch.arange(scores.shape[-1], device=scores.device).expand(len(scores), -1)
        return (F.cross_entropy(scores.mT, own) + F.cross_entropy(scores, own)) / 2
