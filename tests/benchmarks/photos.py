"""Images per second that reach training from large photos, decoded in each epoch.

    python tests/benchmarks/photos.py                   # 20,000 JPEGs of 500 × 375 px, made once
    python tests/benchmarks/photos.py FOLDER --size 224

Makes a folder of JPEGs, unless it exists, and prints one JSON line for each of

- `start`: seconds until the first batch, at the first start and at the second;
- `views`: images per second into the two views of SimCLR, cropped out of the originals, of
  `Batches` and `two-views`, and of torchvision's ImageFolder, its transforms of the same
  parameters and a DataLoader with a process for each core;
- `crops`: the same with the two crops alone, in 8 bits.

The two take turns, a block of steps each; figures are medians over the blocks and the ratio is the
median of the ratios of neighbouring blocks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from dataload import describe
from PIL import Image
from torchvision.transforms import v2
from train import REST_SECONDS, WARM_UP

from sslcore.api import make_recipe
from sslcore.cli.allocation import keep_freed_memory
from sslcore.data.batches import Batches
from sslcore.pipeline.build import ImageShape, build_pipeline, open_data
from sslcore.pipeline.pipeline import augment
from sslcore.random import BatchRandom
from sslcore.recipe.recipe import Recipe

#: Photos that differ; the others are copies of them, under other names.
DISTINCT = 2000
CLASSES = 10


def make_photos(folder: Path, images: int) -> None:
    """Write JPEGs of 500 × 375 px, a third of them upright, into class folders."""
    done = folder / f"{images}-photos"
    if done.exists():
        return
    for index in range(images):
        path = folder / f"class-{index % CLASSES}" / f"{index:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if index < DISTINCT:
            width, height = (500, 375) if index % 3 else (375, 500)
            _photograph(index, width, height).save(path, quality=90)
        else:
            first = index % DISTINCT
            shutil.copyfile(folder / f"class-{first % CLASSES}" / f"{first:06}.jpg", path)
    done.touch()


def _photograph(index: int, width: int, height: int) -> Image.Image:
    """Return shapes of some 16 px with the noise of a camera: about 80 kB as JPEG."""
    draw = np.random.default_rng(index)
    coarse = draw.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noisy = np.asarray(smooth, dtype=np.int16) + draw.integers(-12, 13, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def sslcore_blocks(recipe: Recipe, steps: int, *, views: bool) -> Iterator[float]:
    """Yield images per second, block after block."""
    data, _ = open_data(recipe.data, boxes=True)
    batch = recipe.training.batch_size
    module = build_pipeline(recipe, ImageShape.of(data.train)).augmentation.train()
    batches = Batches(data.train, batch, 0, torch.device("cpu"), boxing=_boxes_of(module))
    stream = batches.between(0, 10**9)

    def step() -> None:
        item = next(stream)
        if views:
            augment(module, item.images, random=BatchRandom(0, item.step, item.size))

    keep_freed_memory()
    yield from _blocks(step, batch, steps)


def _boxes_of(module: Any) -> Any:
    return module.boxes


class _Twice:
    """Two results of a random transform."""

    def __init__(self, transform: Callable[[Any], Any]) -> None:
        self.transform = transform

    def __call__(self, image: Any) -> Any:
        return self.transform(image), self.transform(image)


def torchvision_blocks(
    folder: Path, size: int, batch: int, steps: int, workers: int, *, views: bool
) -> Iterator[float]:
    """Yield images per second of an ImageFolder whose items are transformed by processes."""
    crop = [v2.RandomResizedCrop(size), v2.RandomHorizontalFlip()]
    colours = [
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
        v2.RandomGrayscale(0.2),
        v2.RandomApply([v2.GaussianBlur(size // 20 * 2 + 1, (0.1, 2.0))], 0.5),
    ]
    floats = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)]
    all_of_it = [*crop, *colours, v2.PILToTensor(), *floats] if views else [*crop, v2.PILToTensor()]
    loader = torch.utils.data.DataLoader(
        torchvision.datasets.ImageFolder(str(folder), _Twice(v2.Compose(all_of_it))),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=True,
    )

    def stream() -> Iterator[object]:
        while True:
            yield from loader

    batches = stream()
    yield from _blocks(lambda: next(batches), batch, steps)


def _blocks(step: Callable[[], object], batch: int, steps: int) -> Iterator[float]:
    while True:
        for _ in range(WARM_UP):
            step()
        started = time.perf_counter()
        for _ in range(steps):
            step()
        rate = batch * steps / (time.perf_counter() - started)
        # What reads ahead must not use the other's time.
        time.sleep(REST_SECONDS)
        yield rate


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Print the lines."""
    make_photos(folder, options.images)
    case = {"images": options.images, "image_size": options.size, "batch": options.batch}
    settings = {
        # Crops are resized bilinearly, as by torchvision's transform by default.
        "training": {"batch_size": options.batch, "preset": "quick"},
        "data": {"image_size": options.size, "cache": "none"},
    }
    recipe, _ = make_recipe("simclr", data=str(folder), encoder="cnn4", settings=settings)

    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        data, _ = open_data(recipe.data, boxes=True)
        module = build_pipeline(recipe, ImageShape.of(data.train)).augmentation
        batches = Batches(
            data.train, options.batch, 0, torch.device("cpu"), boxing=_boxes_of(module)
        )
        next(first := batches.between(0, 10**9))
        seconds.append(round(time.perf_counter() - started, 3))
        first.close()  # type: ignore[attr-defined]
    line = {"case": "start", **case, "first_s": seconds[0], "second_s": seconds[1]}
    print(json.dumps(line | describe(torch.device("cpu"))), flush=True)

    for name, views in (("views", True), ("crops", False)):
        own = sslcore_blocks(recipe, options.steps, views=views)
        theirs = torchvision_blocks(
            folder, options.size, options.batch, options.steps, options.workers, views=views
        )
        turns = [(next(own), next(theirs)) for _ in range(options.blocks)]
        line = {
            "case": name,
            **case,
            "sslcore_images_per_s": round(statistics.median(a for a, _ in turns), 1),
            "data_loader_images_per_s": round(statistics.median(b for _, b in turns), 1),
            "ratio": round(statistics.median(a / b for a, b in turns), 2),
            "ratios": [round(a / b, 2) for a, b in turns],
        }
        print(json.dumps(line | describe(torch.device("cpu"))), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="where the photos are, or are to be")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=96, help="side of the views, px")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8, help="steps in a block")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the DataLoader")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["SSLCORE_CACHE"] = str(Path(temporary) / "cache")
        measure(options, options.folder or Path(temporary) / "photos")


if __name__ == "__main__":
    main()
