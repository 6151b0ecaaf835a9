"""What is exported of a run: its network, what it expects, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslcore.evaluation.extractor import FeatureExtractor
from sslcore.pipeline.build import ImageShape
from sslcore.pipeline.normalization import Normalization
from sslcore.pipeline.pipeline import augment, encode, project

#: How far a linear layer may be from the head that it stands for.
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Exported:
    """A run's encoder, and its classifier if it has one.

    Attributes:
        extractor: from images to features.
        head: from features to logits; None for a run without a classifier.
        classes: names of the classes; empty without a classifier.
        about: what `encoder.safetensors` says of itself.
        normalization: of the views that the encoder gets; None if it is no mean and divisor.
        data_name: name of the data set, or of the folder that it opened.
        train_images: number of images that it was trained on.
        tables: of scores, each with a title, heads and rows.
    """

    extractor: FeatureExtractor
    head: nn.Module | None
    classes: tuple[str, ...]
    about: Mapping[str, object]
    normalization: Normalization | None
    data_name: str
    train_images: int
    tables: tuple[tuple[str, list[str], list[list[str]]], ...]

    @property
    def encoder(self) -> nn.Module:
        """The encoder."""
        return self.extractor.encoder

    @property
    def shape(self) -> ImageShape:
        """The shape of the images."""
        assert self.extractor.shape is not None
        return self.extractor.shape

    @property
    def output(self) -> str:
        """What the network gives: "features" or "logits"."""
        return "features" if self.head is None else "logits"

    @property
    def feature_dim(self) -> int:
        """Length of a feature vector."""
        views = augment(self.extractor.augmentation, self.images(1))
        return int(encode(self.encoder, views)["features"].shape[-1])

    def images(self, count: int) -> Tensor:
        """Return random images (count, C, S, S), or clips, the same ones every time."""
        generator = torch.Generator().manual_seed(count)
        return torch.rand(self.shape.dummy(count).shape, generator=generator)

    def network(self, *, preprocessing: bool) -> nn.Module:
        """Return a module from images (B, C, H, W) to features or logits, in eval mode.

        Args:
            preprocessing: whether its input are images in [0, 1]; otherwise, views (B, C, h, w)
                as the augmentation normalises them.
        """
        eyes = self.extractor.augmentation if preprocessing else None
        return _Network(eyes, self.encoder, self.head).eval()

    def classifier(self) -> nn.Linear | None:
        """Return the linear layer that the head is; None if it is none."""
        if self.head is None:
            return None
        owners = [
            module
            for module in self.head.modules()
            if any(True for _ in module.named_parameters(recurse=False))
            or any(True for _ in module.named_buffers(recurse=False))
        ]
        if len(owners) != 1 or not isinstance(owners[0], nn.Linear):
            return None
        features = torch.randn(1, 2, owners[0].in_features)
        with torch.no_grad():
            found = project(self.head, {"features": features})["logits"]
            alike = torch.allclose(found, owners[0](features), atol=_TOLERANCE)
        return owners[0] if alike else None


class _Network(nn.Module):
    """The stages of evaluation in a row, without the checks that a graph can't hold."""

    def __init__(
        self, augmentation: nn.Module | None, encoder: nn.Module, head: nn.Module | None
    ) -> None:
        super().__init__()
        self.augmentation, self.encoder, self.head = augmentation, encoder, head

    def forward(self, images: Tensor) -> Tensor:
        if self.augmentation is None:
            signals = {"views": images.unsqueeze(0)}
        else:
            signals = augment(self.augmentation, images)
        signals |= encode(self.encoder, signals)
        if self.head is None:
            features: Tensor = signals["features"].mean(0)
            return features
        logits: Tensor = project(self.head, signals)["logits"].mean(0)
        return logits
