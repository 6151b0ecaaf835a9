"""A backbone of timm by name: nothing is fetched and no pickle is executed unless requested.

timm's own names build timm's own code, and fetch weights only if `pretrained` is true. timm prefers
safetensors. If there are none, torch reads a file of tensors; this module makes torch refuse
anything else in the file, for any version of timm.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from sslcore.errors import first_line, nearest

#: What the names of backbones of Hugging Face begin with.
HUB = ("hf-hub:", "hf_hub:")
#: With this variable, torch loads tensors only, even if its caller asks for more.
_TENSORS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def backbone_called(
    model: str, image_size: int, channels: int, *, pretrained: bool = False
) -> tuple[nn.Module, dict[str, object]]:
    """Return a backbone of timm without its classifier, and the arguments that fit it to views.

    Args:
        model: name of the backbone, with or without a tag, or "hf-hub:OWNER/NAME".
        image_size: side of the views, px.
        channels: channels of the views.
        pretrained: whether to fetch pretrained weights instead of random ones.

    Raises:
        ValueError: timm is not installed or has no such backbone, the name refers to another
            source, the backbone can't be made for such views, or its weights can't be fetched.
    """
    try:
        import timm
    except ImportError as error:
        raise ValueError("timm is not installed: pip install 'sslcore[timm]'") from error
    _check_name(model, timm, pretrained=pretrained)
    arguments = {"pretrained": pretrained, "in_chans": channels, "num_classes": 0}
    try:
        with _tensors_only():
            return _made(timm, model, image_size, arguments)
    except Exception as error:
        why = first_line(error).rstrip(".")
        if pretrained:
            raise ValueError(
                f"{model} can't be had pretrained ({why}); check the connection, "
                "or set pretrained to false"
            ) from error
        raise ValueError(
            f"{model} can't be made for views of {image_size} px with {channels} channels "
            f"({why}); choose another model, or larger views"
        ) from error


def normalization_of(model: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and std of the images that the weights of a backbone were trained on.

    None where timm is missing or does not know it without fetching anything.
    """
    try:
        from timm.models import get_pretrained_cfg
    except ImportError:
        return None
    config = None if model.startswith(HUB) else get_pretrained_cfg(model)
    return None if config is None else (tuple(config.mean), tuple(config.std))


def _check_name(model: str, timm: Any, *, pretrained: bool) -> None:
    if model.startswith(HUB):
        if not pretrained:
            raise ValueError(
                f"{model} has to be fetched from Hugging Face; set pretrained to true to do that"
            )
        return
    if any(mark in model for mark in ":/\\"):
        raise ValueError(
            f"{model!r} is no name of timm's, and no other place is looked into; give a name "
            "such as resnet26d, or hf-hub:OWNER/NAME with pretrained=true"
        )
    if not timm.is_model(model.partition(".")[0]):
        raise ValueError(
            f"timm {timm.__version__} has no model {model!r}{nearest(model, timm.list_models())}; "
            "timm.list_models() lists them"
        )


def _made(
    timm: Any, model: str, image_size: int, arguments: dict[str, Any]
) -> tuple[nn.Module, dict[str, object]]:
    fitted = {} if arguments["in_chans"] == 3 else {"in_chans": arguments["in_chans"]}
    try:
        sized: nn.Module = timm.create_model(model, img_size=image_size, **arguments)
        return sized, {**fitted, "img_size": image_size}
    except TypeError as error:
        # A backbone for any size has no such argument.
        if "img_size" not in str(error):
            raise
    unsized: nn.Module = timm.create_model(model, **arguments)
    return unsized, fitted


@contextmanager
def _tensors_only() -> Iterator[None]:
    before = os.environ.get(_TENSORS_ONLY)
    os.environ[_TENSORS_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_TENSORS_ONLY]
        else:
            os.environ[_TENSORS_ONLY] = before
