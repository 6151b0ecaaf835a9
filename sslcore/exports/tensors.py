"""Weights in a file: the encoder's by its own names, and the classifier's after `classifier.`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from sslcore.exports.exported import Exported
from sslcore.recipe.toml import plain
from sslcore.runs.about import ABOUT
from sslcore.runs.weights import save_weights
from sslcore.system.files import replacing, to_json

#: What the names of a classifier's weights begin with.
CLASSIFIER = "classifier."


def weights_of(exported: Exported) -> dict[str, Tensor]:
    """Return the weights of the encoder, and those of the classifier after `classifier.`."""
    weights = dict(exported.encoder.state_dict())
    if exported.head is not None:
        head = exported.head.state_dict()
        weights |= {f"{CLASSIFIER}{name}": tensor for name, tensor in head.items()}
    return weights


def description(exported: Exported) -> dict[str, object]:
    """Return what is said of the weights: the encoder's metadata, and the names of the classes."""
    classes = {"classes": list(exported.classes)} if exported.classes else {}
    return {**exported.about, **classes}


def write_torch(exported: Exported, path: Path, _: bool) -> str:
    """Write a file for `torch.load`: `state_dict`, and `about` as JSON."""
    about = json.dumps(plain(description(exported)))
    save_torch({"state_dict": _owned(weights_of(exported)), "about": about}, path)
    return f'torch.load("{path}", weights_only=True)["state_dict"]'


def save_torch(content: object, path: Path) -> None:
    """Write a torch file.

    Raises:
        RunFolderError: it can't be written.
    """
    with replacing(path) as temporary:
        torch.save(content, temporary)


def _owned(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}


def write_safetensors(exported: Exported, path: Path, _: bool) -> str:
    """Write a safetensors file, with the description as its metadata."""
    about = {ABOUT: to_json(plain(description(exported)))}
    save_weights(path, weights_of(exported), about)
    return f'safetensors.torch.load_file("{path}")'
