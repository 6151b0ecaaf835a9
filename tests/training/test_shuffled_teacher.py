"""A teacher whose micro-batches are of shuffled images: same keys, other batch statistics."""

from __future__ import annotations

from contextlib import nullcontext

import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.compute.processes import ALONE
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.training.shuffled_teacher import seen_by_teacher, teach_shuffled


def pipeline_of(registry, encoder="small-cnn", **settings):
    small = {"vit": {"width": 8, "depth": 1, "heads": 2}, "small-cnn": {"widths": (4, 8)}}
    recipe, _ = make_recipe(
        "moco",
        encoder=encoder,
        settings={"encoder": small[encoder], "loss": {"queue_size": 8}, **settings},
        registry=registry,
    )
    return build_pipeline(recipe, ImageShape(16, 1)).train()


def keys_of(pipeline, size, step=0, shuffled=True):
    images = torch.rand(12, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    random = sslcore.BatchRandom(0, step, 12)
    parts = [
        pipeline.augment(images[start : start + size], random=random.select(rows), progress=0.0)
        for start in range(0, 12, size)
        for rows in [slice(start, start + size)]
    ]
    if shuffled:
        seen = [seen_by_teacher(pipeline, part) for part in parts]
        found = teach_shuffled(pipeline, seen, size, random, ALONE, nullcontext)
        return found["teacher_projections"]
    return torch.cat([pipeline.teach(part)["teacher_projections"] for part in parts], 1)


def test_without_batch_norm_the_keys_are_the_same_and_in_their_order(registry):
    pipeline = pipeline_of(registry, "vit")
    torch.testing.assert_close(keys_of(pipeline, 4), keys_of(pipeline, 4, shuffled=False))


def test_a_signal_of_its_own_replaces_one_that_the_teacher_goes_without(registry):
    pipeline = pipeline_of(registry, "vit", teacher={"without": ["views"]})
    torch.testing.assert_close(keys_of(pipeline, 4), keys_of(pipeline, 4, shuffled=False))


def test_with_batch_norm_the_keys_have_statistics_of_other_images(registry):
    pipeline = pipeline_of(registry)
    plain = keys_of(pipeline, 4, shuffled=False)
    first, again = keys_of(pipeline, 4), keys_of(pipeline, 4)
    assert torch.equal(first, again)
    assert (first - plain).abs().max() > 1e-3
    # In one micro-batch, there are no other images.
    torch.testing.assert_close(keys_of(pipeline, 12), keys_of(pipeline, 12, shuffled=False))


def test_training_in_micro_batches_shuffles_where_the_teacher_asks_for_it(registry, console):
    def weights(shuffle):
        run = sslcore.train(
            "moco",
            settings={
                "training": {
                    "epochs": 1,
                    "batch_size": 256,
                    "micro_batch": 64,
                    "batch_statistics": "micro-batch",
                    "precision": "fp32",
                },
                "teacher": {"shuffle": shuffle},
                "encoder": {"widths": (4, 8)},
                "head": {"hidden": (8,)},
            },
            registry=registry,
            console=console,
            evaluate=False,
            output=f"run-{shuffle}",
        )
        assert run.config()["teacher"]["shuffle"] is shuffle
        return run.read_encoder()

    plain, shuffled = weights(False), weights(True)
    assert any(not torch.equal(item, shuffled[name]) for name, item in plain.items())
