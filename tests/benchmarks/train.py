r"""Images per second of SimCLR end to end: sslcore beside lightly, the same network, one process.

    pip install -e '.[bench]'
    python tests/benchmarks/train.py                   # the embedded digits, the default recipe
    python tests/benchmarks/train.py FOLDER            # class folders of 32 px images, cnn4
    python tests/benchmarks/train.py FOLDER --precision auto
    python tests/benchmarks/train.py --random 224 --encoder vit --batch 256 --precision bf16 \
        --set encoder.width=384 --set encoder.depth=12 --set encoder.heads=6 --alone

Both train the same encoder with the same head, optimizer, batch and threads. lightly's side is its
own SimCLRTransform (no blur, on the digits no mirror and no grey either), a DataLoader with two
workers, and its NTXentLoss. Of a folder the workers read the same files; of the digits, which are
in memory, they have images of Pillow ready. On the digits sslcore rotates views and cuts holes into
them, as its recipe says; lightly is spared that. The two take turns, a block of steps each; the
figures are medians over the blocks and the ratio is the median of the ratios of neighbouring
blocks. `--random SIDE` trains on random images in memory, for the speed of larger ones, and
`--alone` leaves lightly out. Prints one JSON line.

lightly's workers go on preparing batches when its block is over. So each block starts with steps
that are not timed, in which what was prepared in the meantime is used up, and ends with a pause,
in which the workers come to rest before the other's turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from sslcore import __version__
from sslcore.api import make_recipe
from sslcore.cli.allocation import keep_freed_memory
from sslcore.compute.device import pick_device, pick_precision
from sslcore.data import Data, Split
from sslcore.data.batches import Batches
from sslcore.pipeline.build import ImageShape, build_data, build_pipeline
from sslcore.recipe.recipe import Recipe
from sslcore.recipe.toml import parse_assignment
from sslcore.training.trainer import Trainer

#: Untimed steps of a block: lightly's loader holds two batches for each worker.
WARM_UP = 5
#: The longest time in which two workers refill the loader.
REST_SECONDS = 6.0
#: Without a folder.
DIGITS = "digits"
#: The strength at which lightly's jitter equals sslcore's.
JITTER = 0.5


def recipe_for(
    data: str, encoder: str | None, side: int, given: list[str], **training: Any
) -> Recipe:
    """Return the recipe: the default one for the digits, the one of small colour images for a
    folder."""
    settings: dict[str, dict[str, Any]] = {
        # The other package trains with SGD, too.
        "training": {"epochs": 100_000, "preset": "quick", **training}
    }
    if data != DIGITS:
        settings |= {"optimizer": {"lr": 0.06}, "data": {"image_size": side}}
        encoder = encoder or "cnn4"
    for section, name, value in map(parse_assignment, given):
        settings.setdefault(section, {})[name] = value
    parts = {} if encoder is None else {"encoder": encoder}
    recipe, _ = make_recipe("simclr", data=data, settings=settings, **parts)
    return recipe


@contextmanager
def trainer_of(recipe: Recipe, data: Data, batches: Batches, device: torch.device):
    """Make the product's own trainer, ready to train."""
    pipeline = build_pipeline(recipe, ImageShape.of(data.train))
    pipeline = pipeline.to(device).to(memory_format=torch.channels_last)
    precision = pick_precision(recipe.training.precision, device)
    with tempfile.TemporaryDirectory() as checkpoints:
        trainer = Trainer(recipe, pipeline, batches, device, precision, Path(checkpoints))
        pipeline.train()
        yield trainer


def waited_for(device: torch.device) -> float:
    """Return the time at which the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def random_images(side: int, count: int) -> Data:
    """Return images of random numbers; their content does not change the time of any part."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    return Data(train=Split(images), test=Split(images[:1]))


def sslcore_blocks(recipe: Recipe, data: Data, steps: int) -> Iterator[float]:
    """Yield images per second, block after block, of the product's own trainer."""
    device, batch = pick_device("auto"), recipe.training.batch_size
    batches = Batches(data.train, batch, 0, device)
    with trainer_of(recipe, data, batches, device) as trainer:
        stream = batches.between(0, trainer.total_steps)
        # As the command line does; this setting of the process speeds up lightly too.
        keep_freed_memory()
        while True:
            for _ in range(WARM_UP):
                trainer.train_step(next(stream))
            started = waited_for(device)
            for _ in range(steps):
                trainer.train_step(next(stream))
            yield batch * steps / (waited_for(device) - started)


def lightly_blocks(recipe: Recipe, data: Data, steps: int, workers: int) -> Iterator[float]:
    """Yield images per second, block after block, of lightly around the same network."""
    from lightly.loss import NTXentLoss

    device, batch = pick_device("auto"), recipe.training.batch_size
    pipeline = build_pipeline(recipe, ImageShape.of(data.train)).to(device)
    network = nn.ModuleDict({"encoder": pipeline.encoder, "head": pipeline.head})
    network.train()
    loader = torch.utils.data.DataLoader(
        lightly_images(recipe, data.train),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )
    criterion = NTXentLoss(temperature=0.5)
    settings = {key: recipe.optimizer.settings[key] for key in ("lr", "momentum", "weight_decay")}
    optimizer = torch.optim.SGD(network.parameters(), **settings)

    def stream() -> Iterator[list[torch.Tensor]]:
        while True:
            for views, _ in loader:
                yield views

    def train_step(views: list[torch.Tensor]) -> None:
        made = []
        for view in views[:2]:
            features = network["encoder"](view.to(device, non_blocking=True))["features"]
            made.append(network["head"](features[None])["projections"][0])
        loss = criterion(*made)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    batches = stream()
    while True:
        for _ in range(WARM_UP):
            train_step(next(batches))
        started = waited_for(device)
        for _ in range(steps):
            train_step(next(batches))
        rate = batch * steps / (waited_for(device) - started)
        time.sleep(REST_SECONDS)
        yield rate


def lightly_images(recipe: Recipe, split: Split) -> torch.utils.data.Dataset:
    """Return the images as lightly is usually given them, with its transform."""
    from lightly.transforms import SimCLRTransform

    if recipe.data.name == DIGITS:
        of = recipe.augmentation.settings
        transform = SimCLRTransform(
            input_size=split.image_size,
            gaussian_blur=0.0,
            cj_strength=JITTER,
            min_scale=of["crop_scale"][0],
            hf_prob=of["flip"],
            random_gray_scale=of["grayscale"],
            normalize={"mean": list(of["mean"]), "std": list(of["std"])},
        )
        return InMemory(split, transform)
    size = split.image_size
    transform = SimCLRTransform(input_size=size, gaussian_blur=0.0, cj_strength=JITTER)
    if not recipe.data.settings["path"]:
        return InMemory(split, transform)
    root = Path(recipe.data.settings["path"])
    folder = root / "train" if (root / "train").is_dir() else root
    return torchvision.datasets.ImageFolder(str(folder), transform)


class InMemory(torch.utils.data.Dataset):
    """Pillow images in memory, and a transform."""

    def __init__(self, split: Split, transform: Any) -> None:
        to_image = torchvision.transforms.functional.to_pil_image
        self.images, self.transform = [to_image(image) for image in split.images], transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[list[torch.Tensor], int]:
        return self.transform(self.images[row]), 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="class folders of 32 px images")
    parser.add_argument("--data", default=DIGITS, help="what to train on without a folder")
    parser.add_argument("--encoder", help="the default recipe's on the digits, else cnn4")
    parser.add_argument("--batch", type=int, help="the default recipe's on the digits, else 256")
    parser.add_argument("--steps", type=int, help="steps in a block: 60 on the digits, else 6")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--precision", help="auto on the digits, as by default, else fp32")
    parser.add_argument("--workers", type=int, default=2, help="lightly's loader processes")
    parser.add_argument("--random", type=int, metavar="SIDE", help="random images of this side")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE")
    parser.add_argument("--alone", action="store_true", help="without lightly")
    options = parser.parse_args()
    if options.folder is None and options.data != DIGITS:
        parser.error(f"--data is {DIGITS}, or a folder is given")
    # An empty path stands for images without a folder.
    data = "./" if options.random else options.folder or options.data
    small = data == DIGITS
    training: dict[str, Any] = {"precision": options.precision or ("auto" if small else "fp32")}
    if options.batch or not small:
        training["batch_size"] = options.batch or 256
    recipe = recipe_for(data, options.encoder, options.random or 32, options.set, **training)
    steps = options.steps or (60 if small else 6)
    if options.random:
        images = random_images(options.random, 4 * recipe.training.batch_size)
        recipe = replace(recipe, data=replace(recipe.data, settings={"path": ""}))
    else:
        images = build_data(recipe.data)
    ours = sslcore_blocks(recipe, images, steps)
    sides = {"sslcore": ours}
    versions = {"sslcore": __version__}
    if not options.alone:
        import lightly

        sides["lightly"] = lightly_blocks(recipe, images, steps, options.workers)
        versions["lightly"] = lightly.__version__
    turns = [{name: next(blocks) for name, blocks in sides.items()} for _ in range(options.blocks)]
    rates = {
        f"{name}_images_per_s": round(statistics.median(turn[name] for turn in turns), 1)
        for name in sides
    }
    ratios = [turn["sslcore"] / turn["lightly"] for turn in turns if "lightly" in turn]
    compared = {"ratio": round(statistics.median(ratios), 3)} if ratios else {}
    device = pick_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(
        json.dumps(
            {
                "case": f"simclr {recipe.encoder.name} end to end",
                "data": DIGITS if small else "random" if options.random else "folder",
                "image_size": images.train.image_size,
                "batch": recipe.training.batch_size,
                "precision": pick_precision(recipe.training.precision, device),
                **rates,
                **compared,
                "ratios": [round(ratio, 3) for ratio in ratios],
                "device": name,
                "cpus": os.cpu_count(),
                "threads": torch.get_num_threads(),
                **versions,
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
