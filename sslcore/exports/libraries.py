"""Weights that the model of another library loads by its own names."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.contract.counterpart import COUNTERPART, Counterpart
from sslcore.errors import SslcoreError, UsageError
from sslcore.exports.exported import Exported
from sslcore.exports.tensors import save_torch
from sslcore.runs.weights import save_weights

#: How far features of the library may be from the encoder's, relative to the largest.
_TOLERANCE = 1e-4

#: The function with which a library builds a model by its name.
_BUILDERS = {
    "torchvision": ("torchvision.models", "get_model"),
    "timm": ("timm", "create_model"),
}


def write_for(library: str, exported: Exported, path: Path) -> str:
    """Write a state dict that the library's model loads, with the classifier if there is one.

    Raises:
        UsageError: the library has no such model, it is not installed, or the run's classifier is
            no linear layer.
    """
    weights, counterpart = weights_for(library, exported)
    check_in_library(library, exported, weights, counterpart)
    if path.suffix == ".safetensors":
        save_weights(path, weights, {"format": "pt"})
        load = f'safetensors.torch.load_file("{path}")'
    else:
        save_torch({name: each.clone() for name, each in weights.items()}, path)
        load = f'torch.load("{path}", weights_only=True)'
    # timm builds its models without the classifier, and torchvision can't.
    whole = exported.classes or library == "timm"
    strict = "" if whole else ", strict=False"
    built = call(library, exported, counterpart)
    return f"model = {built}; model.load_state_dict({load}{strict})"


def call(library: str, exported: Exported, counterpart: Counterpart) -> str:
    """Return the call that builds the library's model, as text."""
    arguments = _arguments(library, exported, counterpart)
    told = "".join(f", {name}={value!r}" for name, value in arguments.items())
    if library == "torchvision":
        return f"torchvision.models.{counterpart.model}({told.removeprefix(', ')})"
    return f'timm.create_model("{counterpart.model}"{told})'


def counterpart_of(library: str, exported: Exported) -> Counterpart:
    """Return the library's model for an encoder.

    Raises:
        UsageError: it has none; the message says why, and which formats there are.
    """
    encoder = exported.encoder
    told = getattr(encoder, COUNTERPART, None)
    name = exported.about.get("encoder")
    others = "formats that can hold it: torch, safetensors, onnx, torchscript, huggingface"
    if told is None:
        raise UsageError(f"{library} has no model for the encoder {name}; {others}")
    try:
        found = told(library)
    except ValueError as error:
        raise UsageError(f"{library} can't hold the encoder {name}: {error}; {others}") from error
    if not isinstance(found, Counterpart):
        raise SslcoreError(
            f"{COUNTERPART} of the encoder {name} returned {type(found).__name__}, expected "
            "sslcore.contract.counterpart.Counterpart"
        )
    return found


def weights_for(library: str, exported: Exported) -> tuple[dict[str, Tensor], Counterpart]:
    """Return the weights by the library's names, with the classifier's, and the model.

    Raises:
        UsageError: the library has no such model, or the run's classifier is no linear layer.
    """
    counterpart = counterpart_of(library, exported)
    weights = {name: each.detach().cpu() for name, each in counterpart.weights.items()}
    if exported.head is not None:
        linear = exported.classifier()
        if linear is None:
            raise UsageError(
                f"{library} holds a linear classifier, and the head of this run is none; formats "
                "that can hold it: torch, safetensors, onnx, torchscript, huggingface"
            )
        weights[f"{counterpart.classifier}.weight"] = linear.weight.detach().cpu()
        if linear.bias is not None:
            weights[f"{counterpart.classifier}.bias"] = linear.bias.detach().cpu()
    return weights, counterpart


def _arguments(library: str, exported: Exported, counterpart: Counterpart) -> dict[str, object]:
    arguments = dict(counterpart.arguments)
    if exported.classes:
        arguments["num_classes"] = len(exported.classes)
    elif library == "timm":
        # timm leaves the classifier out.
        arguments["num_classes"] = 0
    return arguments


@torch.no_grad()
def check_in_library(
    library: str, exported: Exported, weights: Mapping[str, Tensor], counterpart: Counterpart
) -> None:
    """Load the weights into the library's model, and compare what it computes.

    Raises:
        UsageError: the library is not installed.
        SslcoreError: the model does not take the weights, or computes something else.
    """
    module, builder = _BUILDERS[library]
    try:
        build = getattr(importlib.import_module(module), builder)
    except ImportError as error:
        extra = "sslcore" if library == "torchvision" else f"sslcore[{library}]"
        raise UsageError(
            f"the model of {library} is checked there: pip install '{extra}'"
        ) from error
    model: Any = build(counterpart.model, **_arguments(library, exported, counterpart))
    found = model.load_state_dict(weights, strict=False)
    missing = [
        name
        for name in found.missing_keys
        if exported.classes or not name.startswith(f"{counterpart.classifier}.")
    ]
    if missing or found.unexpected_keys:
        raise SslcoreError(
            f"{library}'s {counterpart.model} does not take these weights: "
            f"{', '.join([*missing, *found.unexpected_keys][:3])}"
        )
    if not exported.classes:
        _without(model, counterpart.classifier)
    views = exported.extractor.augmentation(exported.images(2))["views"]
    expected = exported.network(preprocessing=False)(views[0])
    computed = model.eval()(views[0])
    scale = expected.abs().max().clamp_min(1)
    if computed.shape != expected.shape or (computed - expected).abs().max() > _TOLERANCE * scale:
        raise SslcoreError(
            f"{library}'s {counterpart.model} computes something else with these weights, so they "
            "were not written"
        )


def _without(model: nn.Module, classifier: str) -> None:
    """Replace the classifier of a model by the identity."""
    parent, _, name = classifier.rpartition(".")
    setattr(model.get_submodule(parent), name, nn.Identity())
