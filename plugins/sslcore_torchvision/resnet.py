"""ResNets of torchvision without their classifier, for images of any size and channel count."""

from __future__ import annotations

import contextlib
import http.client
import pickle
import sys
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torchvision
from torch import Tensor, nn

from sslcore.contract.counterpart import Counterpart
from sslcore.signals import FeaturesAndMaps
from sslcore_torchvision._download import impatient, named_by_hash

_LARGEST_SMALL_IMAGE = 64


class ResNet(nn.Module):
    """Residual network (He et al. 2016, "Deep Residual Learning", table 1) up to its mean pooling.

    `views` (N, C, h, w) become `feature_maps` (N, F, h', w') and, their mean over h' and w',
    `features` (N, F); F is 512 for ResNet-18 and 34, 2048 for ResNet-50. Parameters have the
    names that torchvision gives them, so its networks can load them.

    Args:
        stem: layers before the first block. "imagenet" is a 7×7 convolution of stride 2 and a
            max-pool, which divide the side by 4; "small" is a 3×3 convolution of stride 1, which
            keeps the side; "auto" is "small" for views of up to 64 px, else "imagenet".
        weights: torchvision's name of pretrained weights, such as "DEFAULT" or "IMAGENET1K_V1",
            downloaded once; they need three channels and the "imagenet" stem. None means random
            weights.

    Raises:
        ValueError: the weights are unknown, don't fit, can't be fetched, or their file in torch's
            hub directory is not the published one.
    """

    architecture: ClassVar[str]

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        stem: Literal["auto", "small", "imagenet"] = "auto",
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if stem == "auto":
            stem = "small" if image_size <= _LARGEST_SMALL_IMAGE else "imagenet"
        self.pretrained, self.stem, self.channels = weights is not None, stem, channels
        network = torchvision.models.get_model(self.architecture, weights=None)
        if weights is not None:
            _require_imagenet_shape(stem, channels, weights)
            network.load_state_dict(_pretrained(self.architecture, weights))
        if stem == "small":
            network.conv1 = _first_convolution(channels, network, kernel_size=3, stride=1)
            network.maxpool = nn.Identity()
        elif channels != network.conv1.in_channels:
            network.conv1 = _first_convolution(channels, network, kernel_size=7, stride=2)
        self.conv1, self.bn1, self.relu = network.conv1, network.bn1, network.relu
        self.maxpool = network.maxpool
        self.layer1, self.layer2 = network.layer1, network.layer2
        self.layer3, self.layer4 = network.layer3, network.layer4

    def forward(self, views: Tensor) -> FeaturesAndMaps:
        """Return the last block's maps, and their means as features."""
        maps = self.maxpool(self.relu(self.bn1(self.conv1(views))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return {"features": maps.mean((-2, -1)), "feature_maps": maps}

    @classmethod
    def expected_normalization(
        cls, *, weights: str | None = None, **_: object
    ) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Return mean and std of the images that torchvision trained its weights on."""
        known = torchvision.models.get_model_weights(cls.architecture).__members__
        if weights is None or weights not in known:
            return None
        preprocessing = known[weights].transforms()
        return tuple(preprocessing.mean), tuple(preprocessing.std)

    def counterpart(self, library: str) -> Counterpart:
        """Return the same network in torchvision, or in timm, which names its layers alike.

        Raises:
            ValueError: the library has no such network.
        """
        if library not in ("torchvision", "timm"):
            raise ValueError(f"it is not known in {library}")
        if self.stem != "imagenet":
            raise ValueError(
                f"its stem is for small images, and that of {self.architecture} there is not; "
                "train with encoder.stem=imagenet"
            )
        if self.channels != 3 and library == "torchvision":
            raise ValueError(
                f"{self.architecture} there takes 3 channels, and this has {self.channels}"
            )
        return Counterpart(
            model=self.architecture,
            weights=self.state_dict(),
            classifier="fc",
            arguments={} if self.channels == 3 else {"in_chans": self.channels},
        )


# The settings of the three are the same, and so is their docstring, which is inherited.
class ResNet18(ResNet):  # noqa: D101 - the docstring is inherited
    architecture = "resnet18"


class ResNet34(ResNet):  # noqa: D101 - the docstring is inherited
    architecture = "resnet34"


class ResNet50(ResNet):  # noqa: D101 - the docstring is inherited
    architecture = "resnet50"


def _first_convolution(
    channels: int, network: torchvision.models.ResNet, *, kernel_size: int, stride: int
) -> nn.Conv2d:
    convolution = nn.Conv2d(
        channels,
        network.conv1.out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        bias=False,
    )
    # torchvision initialises the other convolutions of the network in the same way.
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution


def _require_imagenet_shape(stem: str, channels: int, weights: str) -> None:
    if stem != "imagenet":
        raise ValueError(
            f"weights {weights!r} need the stem they were trained with; set stem to 'imagenet'"
        )
    if channels != 3:
        raise ValueError(
            f"weights {weights!r} need images of 3 channels, these have {channels}; "
            "open them in colour or leave weights at none"
        )


def _pretrained(architecture: str, name: str) -> dict[str, Tensor]:
    """Return pretrained weights, fetched into torch's hub directory unless they are there."""
    known = torchvision.models.get_model_weights(architecture)
    if name not in known.__members__:
        raise ValueError(
            f"{architecture} has no weights {name!r}, expected one of "
            + ", ".join(known.__members__)
        )
    chosen = known[name]
    file = Path(torch.hub.get_dir(), "checkpoints", chosen.url.rpartition("/")[2])
    try:
        if file.exists() and not named_by_hash(file):
            raise ValueError(
                f"{file} is not the published file of weights {name!r}: its SHA-256 does not begin "
                "as its name says; remove it to fetch it again"
            )
        # torch.hub reports a download on stdout, which is for results only.
        with impatient(), contextlib.redirect_stdout(sys.stderr):
            # The files are pickles, which torch.hub would execute by default; weights_only=True
            # allows tensors only.
            result: dict[str, Tensor] = chosen.get_state_dict(
                map_location="cpu", check_hash=True, weights_only=True
            )
            return result
    except (
        OSError,
        RuntimeError,
        EOFError,
        http.client.HTTPException,
        pickle.PickleError,
    ) as error:
        raise ValueError(
            f"weights {name!r} of {architecture} can't be fetched from {chosen.url} ({error}); "
            f"put that file at {file} or leave weights at none"
        ) from error
