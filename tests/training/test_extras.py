"""What comes with each image besides a label reaches the stages, whatever reads the images."""

from __future__ import annotations

import pytest
import torch
from extras_plugin import KnowsThePlace
from safetensors.torch import load_file
from torch import Tensor

import sslcore
from sslcore.contract.reading import Reading
from sslcore.data import Data, Split
from sslcore.data.batches import Batches
from sslcore.data.prepare import prepared
from sslcore.errors import CompositionError, DataError
from sslcore.objects.dataset import data_source
from sslcore.pipeline.build import ImageShape, build_data, build_pipeline
from sslcore.random import BatchRandom
from sslcore.recipe.resolve import make_recipe
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import METRICS
from sslcore.runs.metrics import read_metrics
from sslcore.signals import Features
from sslcore.training.trainer import Trainer

CPU = torch.device("cpu")


def _pipeline(registry, **options):
    recipe, _ = make_recipe("areas", registry=registry, **options)
    data = build_data(recipe.data)
    return build_pipeline(recipe, ImageShape.of(data.train), train=data.train), data


def _numbered(count=24):
    """Return images whose pixels are their numbers, with the same numbers as an extra."""
    numbers = torch.arange(count)
    images = numbers.to(torch.uint8)[:, None, None, None].expand(count, 1, 8, 8).contiguous()
    return Split(images, extras={"number": numbers, "pair": torch.stack((numbers, -numbers), 1)})


@pytest.mark.parametrize("workers", [None, 0, 2])
def test_extras_and_indices_belong_to_the_images_of_the_batch(workers):
    split = _numbered()
    batches = Batches(split, 4, 0, CPU, given=("number", "indices"), workers=workers)
    for batch in batches.between(0, 12):
        assert batch.given.keys() == {"number", "indices"}
        assert torch.equal(batch.images[:, 0, 0, 0], batch.given["number"].to(torch.uint8))
        assert torch.equal(batch.given["indices"], batches.rows(batch.step))
        part = batch.part(slice(1, 3))
        assert torch.equal(part.images[:, 0, 0, 0], part.given["number"].to(torch.uint8))


def test_extras_follow_a_subset_and_the_images_held_out():
    split = _numbered()
    part = split.subset(torch.tensor([5, 2]))
    assert part.extras["number"].tolist() == [5, 2]
    assert part.extras["pair"].tolist() == [[5, -5], [2, -2]]
    data = data_source(split)(test_fraction=0.25)
    for each in data.splits:
        assert torch.equal(each.images[:, 0, 0, 0], each.extras["number"].to(torch.uint8))
    assert len(data.test) == 6


def test_extras_follow_images_of_any_size_of_which_one_can_not_be_read():
    class Cells:
        def __len__(self):
            return 12

        def read(self, rows):
            if 3 in rows:
                raise OSError("cell 3 is gone")
            return [torch.full((1, 8 + row % 2, 8), row, dtype=torch.uint8) for row in rows]

    data = Data(Split(Cells(), extras={"number": torch.arange(12)}))
    for cache in ("none", "decoded"):
        made, _ = prepared(data, Reading(cache=cache, image_size=8))
        seen = made.train.read(torch.arange(11))[:, 0, 0, 0]
        assert 3 not in made.train.extras["number"]
        assert torch.equal(seen, made.train.extras["number"].to(torch.uint8))


def test_an_encoder_gets_the_extras_of_each_view(registry):
    pipeline, data = _pipeline(registry)
    batches = Batches(data.train, 6, 0, CPU, given=pipeline.wanted())
    batch = batches.first(6)
    random = BatchRandom(0, 0, 6)
    signals = pipeline(batch.images, random=random, given=batch.given)
    assert pipeline.encoder.seen == (12, 2)
    assert signals["place"].shape == (6, 2)
    expected = pipeline.encoder.layer(signals["views"].flatten(2))
    expected = expected + pipeline.encoder.shift(signals["place"])
    torch.testing.assert_close(signals["features"], expected)


def test_a_map_is_moved_with_the_pixels(registry):
    pipeline, data = _pipeline(registry)
    batch = Batches(data.train, 6, 0, CPU, given=pipeline.wanted()).first(6)
    signals = pipeline.augment(
        batch.images, random=BatchRandom(0, 0, 6), progress=0.0, given=batch.given
    )
    assert signals["segmentation"].shape == (2, 6, 12, 12)
    # Squares are bright, and nothing else is.
    assert torch.equal(signals["views"][:, :, 0] == 1, signals["segmentation"])
    assert pipeline.batch_axis("segmentation") == 1
    assert pipeline.batch_axis("place") == 0


def _train(registry, console, output, **settings):
    training = {"epochs": 2, "checkpoint_every": 2, "log_every": 1, **settings}
    return sslcore.train(
        "areas",
        data="scenes",
        output=output,
        settings={"training": training},
        registry=registry,
        console=console,
    )


def test_a_method_with_extras_is_evaluated_and_goes_on_bit_identically(
    registry, console, monkeypatch
):
    whole = _train(registry, console, "whole")
    assert (whole.path / "evaluation.json").exists()
    train_step = Trainer.train_step

    def killed(self, batch):
        if batch.step == 4:
            raise KeyboardInterrupt
        return train_step(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_step", killed)
        with pytest.raises(KeyboardInterrupt):
            _train(registry, console, "killed")
    resumed = sslcore.train(resume="killed", registry=registry, console=console)
    one, other = load_checkpoint(whole.checkpoints), load_checkpoint(resumed.checkpoints)
    assert one.step == other.step == 6
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, other.tensors[name]), name
    assert one.tensors["model/loss.seen"].sum() > 20


def test_micro_batches_give_the_result_of_the_whole_batch(registry, console):
    runs = [
        _train(registry, console, "whole", evaluate_every=None),
        _train(registry, console, "split", micro_batch=3),
    ]
    losses = [[line["loss"] for line in read_metrics(run.path / METRICS)] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    one, other = (load_file(run.path / "encoder.safetensors") for run in runs)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-3, atol=1e-5)


def test_a_stage_that_needs_an_extra_which_the_data_lacks_is_refused_with_the_data_that_has_it(
    registry,
):
    with pytest.raises(CompositionError, match=r"head area .* needs hour.*data scenes"):
        make_recipe("areas", data="digits", registry=registry)


def test_an_encoder_may_not_need_an_extra(registry, add):
    class NeedsPlace(KnowsThePlace):
        def forward(self, views: Tensor, place: Tensor) -> Features:
            return super().forward(views, place)

    add(registry, "encoder", NeedsPlace)
    with pytest.raises(CompositionError, match="evaluators give it images alone"):
        make_recipe("areas", data="scenes", encoder="made-up", registry=registry)


def test_a_split_from_python_has_its_extras_as_signals(registry, console, tiny):
    seen = []

    def near(projections, number, indices, step):
        seen.append((step, torch.equal(number, indices)))
        return projections.square().mean()

    run = sslcore.train(
        "simclr",
        data=_numbered(48),
        encoder="small-cnn",
        loss=near,
        settings=tiny,
        output="run",
        registry=registry,
        console=console,
        evaluate=False,
    )
    assert run.path.exists()
    assert (2, True) in seen


@pytest.mark.parametrize(
    ("extras", "said"),
    [
        ({"images": torch.zeros(4)}, "images is a signal of its own"),
        ({"two words": torch.zeros(4)}, "can't be the name of a signal"),
        ({"captions": torch.zeros(3)}, "a row for each of 4 images"),
        ({"captions": torch.tensor(1)}, "a row for each of 4 images"),
        ({"captions": ["a"] * 4}, "must be a tensor, got list"),
        (["captions"], "must be a dict of tensors"),
    ],
)
def test_extras_that_are_no_signals_are_refused(extras, said):
    with pytest.raises(DataError, match=said):
        Split(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), extras=extras)


def test_a_loss_with_a_default_for_labels_gets_minus_one_for_images_without_a_label(
    registry, console, tiny
):
    seen = []

    def semi_supervised(projections, labels=None):
        seen.extend([] if labels is None else labels.tolist())
        return projections.square().mean()

    images = _numbered(48).images
    tiny["training"]["labels_per_class"] = 3
    sslcore.train(
        "simclr",
        data=Data(Split(images, torch.arange(48) % 2), classes=("even", "odd")),
        encoder="small-cnn",
        loss=semi_supervised,
        settings=tiny,
        output="run",
        registry=registry,
        console=console,
        evaluate=False,
    )
    trained = seen[-48:]
    assert [trained.count(label) for label in (-1, 0, 1)] == [42, 3, 3]
