"""All combinations of parts: each trains two steps, or is refused with the reason.

All combinations use one encoder. Heads and losses depend on an encoder through its features only,
so with every other encoder each compatible head and each compatible loss is trained once.
"""

from __future__ import annotations

from itertools import product

import pytest
import torch

from sslcore.api import make_recipe
from sslcore.contract.interface import FROM_HEAD
from sslcore.data import Data, Split
from sslcore.data.batches import Batches
from sslcore.errors import CompositionError, SslcoreError
from sslcore.evaluation.evaluate import evaluate
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.registry.registry import Registry
from sslcore.training.trainer import Trainer


def _registry():
    registry = Registry()
    registry.load_entry_points()
    return registry


REGISTRY = _registry()
AUGMENTATIONS = REGISTRY.names("augmentation")
ENCODERS = REGISTRY.names("encoder")
EVALUATORS = REGISTRY.names("evaluator")

#: These are in the default suite with one encoder: a mask, and clips.
USUAL = ("patch-mask", "frames")
#: With this encoder, every head is trained with every loss.
WHOLE = "small-cnn"
#: These are resnet18's code at other depths, whose features have the conformance of encoders.
DEEP = ("resnet34", "resnet50")
#: These are tried by the slow tests alone.
LARGE = ("resnet18", "timm")

#: Small versions of the large components, so that the product is affordable.
SMALL = {
    "cnn4": {"widths": (4, 4)},
    "small-cnn": {"widths": (4, 4)},
    "timm": {"model": "test_resnet"},
    "vit": {"width": 8, "depth": 1, "heads": 2},
    "patch-decoder": {"width": 8, "depth": 1, "heads": 2},
    "resnet18": {"stem": "imagenet"},
    "prototypes": {"hidden": (8,), "bottleneck": 4, "dim": 8},
    "expander": {"hidden": (8,), "dim": 8},
    "prediction": {"hidden": (8,), "dim": 8, "predictor_hidden": (8,)},
}


def _data(clips: bool) -> Data:
    generator = torch.Generator().manual_seed(0)
    shape = (12, 5, 1, 16, 16) if clips else (12, 1, 16, 16)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    labels = torch.arange(12) % 2
    return Data(Split(images, labels), Split(images, labels), classes=("a", "b"))


def _marks(augmentation, encoder):
    """By default, one augmentation goes with every small encoder, two more with one of them."""
    usual = (augmentation == "two-views" and encoder not in LARGE) or (
        encoder == WHOLE and augmentation in USUAL
    )
    return () if usual else pytest.mark.slow


class _Quiet:
    def advanced(self, step):
        pass

    def logged(self, line):
        assert torch.isfinite(torch.tensor(line.loss))


@pytest.mark.parametrize(
    ("augmentation", "encoder"),
    [
        pytest.param(augmentation, encoder, marks=_marks(augmentation, encoder))
        for augmentation, encoder in product(AUGMENTATIONS, ENCODERS)
        if encoder not in DEEP
    ],
)
def test_every_combination_trains_two_steps_or_is_refused_with_the_reason(
    augmentation, encoder, tmp_path
):
    trained: set[tuple[bool, str]] = set()
    evaluated: set[tuple[bool, str]] = set()
    reasons: list[str] = []
    for clips, head, loss in product(
        (False, True), [*REGISTRY.names("head"), "none"], REGISTRY.names("loss")
    ):
        if encoder != WHOLE and {(clips, head), (clips, loss)} <= trained:
            continue
        data = _data(clips)
        try:
            pipeline, recipe = _composed(augmentation, encoder, head, loss, data, clips)
        except CompositionError as error:
            reasons.append(str(error))
            continue
        trained |= {(clips, head), (clips, loss)}
        _train_two_steps(recipe, pipeline, data, tmp_path / f"{clips}-{head}-{loss}")
        # Evaluators depend on encoder and head, not on the loss.
        seen = (clips, head if encoder == WHOLE else "")
        if seen not in evaluated:
            evaluated.add(seen)
            _evaluate_each(augmentation, encoder, head, loss, pipeline, data, clips)
    assert all("(from sslcore" in reason for reason in reasons)
    # Every augmentation works with some parts for any encoder, except views of two sizes.
    assert trained or any("averages over positions" in reason for reason in reasons)


def _composed(augmentation, encoder, head, loss, data, clips):
    recipe, _ = make_recipe(
        "autoencoder",
        data="moving-digits" if clips else "digits",
        augmentation=augmentation,
        encoder=encoder,
        head=head,
        loss=loss,
        evaluators=["knn"],
        settings={
            "training": {"epochs": 2, "batch_size": 12, "log_every": 1, "precision": "fp32"},
            "encoder": SMALL.get(encoder, {}),
            "head": SMALL.get(head, {}),
        },
        registry=REGISTRY,
    )
    return build_pipeline(recipe, ImageShape.of(data.train, 2)), recipe


def _train_two_steps(recipe, pipeline, data, folder):
    folder.mkdir()
    before = [weight.clone() for weight in pipeline.encoder.parameters()]
    batches = Batches(data.train, 12, 0, torch.device("cpu"), labels=pipeline.supervised)
    trainer = Trainer(recipe, pipeline, batches, torch.device("cpu"), "fp32", folder)
    trainer.train(_Quiet())
    assert trainer.step == 2
    after = list(pipeline.encoder.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def _evaluate_each(augmentation, encoder, head, loss, pipeline, data, clips):
    for evaluator in EVALUATORS:
        try:
            recipe, _ = make_recipe(
                "autoencoder",
                data="moving-digits" if clips else "digits",
                augmentation=augmentation,
                encoder=encoder,
                head=head,
                loss=loss,
                evaluators=[evaluator],
                settings={"encoder": SMALL.get(encoder, {}), "head": SMALL.get(head, {})},
                registry=REGISTRY,
            )
        except CompositionError as error:
            refused = str(error)
        else:
            refused = ""
        # What only some heads give.
        asked = set(REGISTRY.resolve("evaluator", evaluator).interface().needs) & set(FROM_HEAD)
        if refused:
            assert any(f"needs {FROM_HEAD[signal]}" in refused for signal in asked)
            continue
        try:
            table, _ = evaluate(
                recipe.evaluators, pipeline, pipeline, data, device=torch.device("cpu"), seed=0
            )
        except SslcoreError as error:
            refused = str(error)
        if refused:
            # Some heads give it with some of their settings alone.
            assert asked
            assert "with its settings, the head makes no" in refused
            continue
        # Of a classifier, only the trained one has scores.
        baselines = set() if "test_logits" in asked else {"random_init", "pixels"}
        assert set(table) == {"encoder"} | baselines
        assert all(table.values())
