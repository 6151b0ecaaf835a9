"""A backbone of timm as an encoder: its pooled features, and its maps if it has a grid."""

from __future__ import annotations

import math
from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor, nn

from sslcore.contract.counterpart import Counterpart
from sslcore.errors import first_line
from sslcore_timm.building import HUB, backbone_called, normalization_of


class FeaturesPerhapsMaps(TypedDict):
    """`features`: (V·B, F); and `feature_maps`: (V·B, F', h', w'), if the backbone has them."""

    features: Tensor
    feature_maps: NotRequired[Tensor]


class Timm(nn.Module):
    """A backbone of timm without its classifier.

    `views` (N, C, h, w) become `features` (N, F), the input of its classifier: usually a mean over
    all positions, else a class token. `feature_maps` (N, F', h', w') is the output of the last
    layer, with channels first. Transformers' patch tokens, without class and register tokens,
    become maps if they form a square. Other backbones give no maps.

    Args:
        image_size: side of the views, px. A backbone of fixed input size, such as a vision
            transformer, is built for this size.
        channels: channels of the views.
        model: timm's name of a backbone, with or without the tag of its weights, such as
            "resnet26d" or "vit_tiny_patch16_224.augreg_in21k"; "hf-hub:OWNER/NAME" names one on
            Hugging Face and needs `pretrained`.
        pretrained: whether to start from timm's weights, downloaded once, instead of random ones.
            Views are then normalised as in their training, unless the augmentation's mean or std
            is set.

    Raises:
        ValueError: timm is not installed, has no such backbone, or can't fetch its weights; or
            the backbone takes no views of this size.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        model: str = "resnet26d",
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.pretrained, self.model = pretrained, model
        self.backbone: Any
        self.backbone, self.fitted = backbone_called(
            model, image_size, channels, pretrained=pretrained
        )
        self._try(model, image_size, channels)

    def forward(self, views: Tensor) -> FeaturesPerhapsMaps:
        """Return the backbone's pooled features, and its last maps if it has any."""
        last = self.backbone.forward_features(views)
        made: FeaturesPerhapsMaps = {"features": self.backbone.forward_head(last)}
        maps = _as_maps(last, self.backbone)
        return made if maps is None else {**made, "feature_maps": maps}

    @staticmethod
    def expected_normalization(
        *, model: str, pretrained: bool = False
    ) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Return mean and std of the images that timm's weights were trained on, if it knows."""
        return normalization_of(model) if pretrained else None

    def counterpart(self, library: str) -> Counterpart:
        """Return the backbone as timm has it.

        Raises:
            ValueError: another library is asked for, or the backbone is one of Hugging Face.
        """
        if library != "timm" or self.model.startswith(HUB):
            raise ValueError(f"{self.model} is not known by that name in {library}")
        return Counterpart(
            model=self.model.partition(".")[0],
            weights=self.backbone.state_dict(),
            classifier=str(self.backbone.pretrained_cfg.get("classifier") or "head"),
            arguments=self.fitted,
        )

    def _try(self, model: str, image_size: int, channels: int) -> None:
        """Encode two grey views, so that an incompatible backbone is reported here."""
        views = torch.zeros(2, channels, image_size, image_size)
        self.eval()
        try:
            with torch.no_grad():
                features = self(views)["features"]
        except Exception as error:
            raise ValueError(
                f"{model} can't take views of {image_size} px ({first_line(error).rstrip('.')}); "
                "choose another model, or larger views (two-views: augmentation.size=64)"
            ) from error
        finally:
            self.train()
        if not isinstance(features, Tensor) or features.dim() != 2 or not features.shape[1]:
            raise ValueError(f"{model} gives no feature vectors; choose another model")


def _as_maps(last: Any, backbone: nn.Module) -> Tensor | None:
    """Return the last layer's output as maps (N, F, h, w); None if it has no grid."""
    if not isinstance(last, Tensor):
        return None
    if last.dim() == 4:
        return last.permute(0, 3, 1, 2) if _channels_come_last(last, backbone) else last
    if last.dim() != 3:
        return None
    patches = last[:, getattr(backbone, "num_prefix_tokens", 0) :]
    count = patches.shape[1]
    side = math.isqrt(count)
    # A square plus one more class token than the backbone states is never a square.
    if not count or side * side != count:
        return None
    result: Tensor | None = patches.transpose(1, 2).unflatten(2, (side, side))
    return result


def _channels_come_last(last: Tensor, backbone: nn.Module) -> bool:
    stated = getattr(backbone, "output_fmt", None)
    if stated is not None:
        return str(getattr(stated, "value", stated)).upper() == "NHWC"
    width = getattr(backbone, "num_features", None)
    return last.shape[1] != width and last.shape[-1] == width
