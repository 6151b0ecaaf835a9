"""A folder as on the Hugging Face hub: weights, configuration and a model card."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from torch import Tensor

from sslcore.contract.counterpart import Counterpart
from sslcore.errors import RunFolderError, UsageError
from sslcore.exports.exported import Exported
from sslcore.exports.libraries import call, check_in_library, weights_for
from sslcore.exports.model_card import model_card
from sslcore.exports.tensors import description, weights_of
from sslcore.recipe.toml import plain
from sslcore.runs.weights import save_weights
from sslcore.system.files import to_json, write_safely

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def write_huggingface(exported: Exported, path: Path, _: bool) -> str:
    """Write the folder; timm loads it where the encoder has a model there.

    Raises:
        UsageError: the folder can't be written, or timm has the model and is not installed.
    """
    counterpart, weights = _for_timm(exported) or (None, weights_of(exported))
    load = (
        f'timm.create_model("local-dir:{path}", pretrained=True)'
        if counterpart is not None
        else f'safetensors.torch.load_file("{path / WEIGHTS}")'
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.mkdir()
        save_weights(temporary / WEIGHTS, weights, {"format": "pt"})
        write_safely(temporary / CONFIG, to_json(plain(_config(exported, counterpart)), indent=2))
        built = None if counterpart is None else call("timm", exported, counterpart)
        write_safely(temporary / CARD, model_card(exported, built))
        temporary.rename(path)
    except OSError as error:
        raise RunFolderError(f"{path} can't be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return load


def _for_timm(exported: Exported) -> tuple[Counterpart, dict[str, Tensor]] | None:
    """Return timm's model and the weights by its names; None where timm can't hold them."""
    try:
        weights, counterpart = weights_for("timm", exported)
    except UsageError:
        return None
    check_in_library("timm", exported, weights, counterpart)
    return counterpart, weights


def _config(exported: Exported, counterpart: Counterpart | None) -> dict[str, object]:
    """Return the configuration, in the form that timm reads where it has the model."""
    about: dict[str, object] = {"sslcore": description(exported)}
    if counterpart is None:
        return about
    shape, seen = exported.shape, exported.normalization
    expected: dict[str, object] = {
        "input_size": [shape.channels, shape.image_size, shape.image_size],
        "fixed_input_size": False,
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "first_conv": None,
        "classifier": counterpart.classifier,
    }
    if seen is not None:
        expected |= {"mean": list(seen.mean), "std": list(seen.std)}
    return {
        "architecture": counterpart.model,
        "num_classes": len(exported.classes),
        "num_features": exported.feature_dim,
        "model_args": dict(counterpart.arguments),
        "label_names": list(exported.classes) or None,
        "pretrained_cfg": expected,
        **about,
    }
