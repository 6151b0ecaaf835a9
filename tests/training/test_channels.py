"""Images of 13 channels train with every method, and are scored and shown."""

from __future__ import annotations

import io

import pytest
import torch
from rich.console import Console

import sslcore
from sslcore.api import make_recipe
from sslcore.data import Data, Split
from sslcore.errors import CompositionError
from sslcore.registry.registry import default_registry

CHANNELS = 13
#: Those that need more than images bring data of their own, or are given a trained teacher.
METHODS = [
    entry.name
    for entry in default_registry().entries("method")
    if not entry.record.data and not (entry.record.teacher and entry.record.teacher.pretrained)
]
#: The deep ones are resnet18's code at other depths.
ENCODERS = [name for name in default_registry().names("encoder") if name[-2:] not in ("34", "50")]
#: Small parts, for those that are large by default.
HEADS = {
    "expander": {"hidden": (8,), "dim": 8},
    "prediction": {"hidden": (8,), "dim": 8, "predictor_hidden": (8,)},
    "prototypes": {"hidden": (8,), "bottleneck": 4, "dim": 8},
}
SMALL = {
    "small-cnn": {"widths": (4, 4)},
    "cnn4": {"widths": (4, 4)},
    "timm": {"model": "test_resnet"},
    "vit": {"width": 8, "depth": 1, "heads": 2},
}


def tiles(dtype: torch.dtype = torch.uint8) -> Data:
    """Return images of 13 channels in two classes."""
    generator = torch.Generator().manual_seed(0)
    highest = 256 if dtype == torch.uint8 else 4096
    images = torch.randint(0, highest, (16, CHANNELS, 16, 16), generator=generator).to(dtype)
    split = Split(images, torch.arange(16) % 2)
    return Data(split, split, classes=("field", "forest"))


def train(
    tmp_path, method: str, data: Data, *, sections=None, **options
) -> tuple[sslcore.Run, str]:
    """Train two steps; return the run and what it said."""
    said = io.StringIO()
    run = sslcore.train(
        method,
        data=data,
        settings={"training": {"epochs": 1, "batch_size": 8}, **(sections or {})},
        output=tmp_path / "run",
        device="cpu",
        console=Console(file=said, width=400),
        **options,
    )
    return run, said.getvalue()


def features_of(run: sslcore.Run) -> torch.Tensor:
    """Return the features of two images."""
    return sslcore.load_encoder(run.path)(torch.rand(2, CHANNELS, 16, 16))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_on_thirteen_channels(method, tmp_path):
    recipe = make_recipe(method)[0]
    head = HEADS.get(recipe.head.name, {}) if recipe.head else {}

    run, said = train(tmp_path, method, tiles(), sections={"head": head}, evaluate=False)

    assert features_of(run).isfinite().all()
    recolored = recipe.augmentation.settings.get("saturation", 0) > 0
    note = f"note: {recipe.augmentation.name}: 13 channels are neither grey nor RGB, so views are"
    assert (note in said) == recolored


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_takes_thirteen_channels(encoder, tmp_path):
    sections = {"encoder": SMALL.get(encoder, {})}

    run, _ = train(tmp_path, "simclr", tiles(), encoder=encoder, sections=sections, evaluate=False)

    assert features_of(run).isfinite().all()


@pytest.mark.parametrize("method", ["simclr", "autoencoder", "mae"])
def test_thirteen_channels_are_scored_and_shown_in_colours_that_the_report_explains(
    method, tmp_path
):
    run, _ = train(tmp_path, method, tiles(), report=True)

    assert run.evaluation["encoder"]
    report = (run.path / "report.html").read_text()
    assert "The first three of 13 channels are shown as red, green and blue." in report


def test_twelve_bits_of_thirteen_channels_reach_the_encoder(tmp_path):
    said_of_values = "values from 0 to 4095 become 0 to 1"

    run, said = train(tmp_path, "simclr", tiles(torch.uint16), evaluate=False)

    assert said_of_values in said
    assert features_of(run).isfinite().all()


def test_pretrained_weights_of_three_channels_are_refused_in_one_line(tmp_path):
    sections = {"encoder": {"weights": "imagenet", "stem": "imagenet"}}

    with pytest.raises(CompositionError, match="need images of 3 channels, these have 13"):
        train(tmp_path, "simclr", tiles(), encoder="resnet18", sections=sections)
