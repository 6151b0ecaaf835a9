"""Images per second that reach training from a folder: decoded, streamed from the cache, in memory.

    python tests/benchmarks/dataload.py                     # 20,000 JPEGs of 96 px, made once
    python tests/benchmarks/dataload.py --train --batch 64  # through a whole step with cnn4

Makes a folder of JPEGs that resemble photographs, unless it exists, and prints one JSON line for
each of

- `first run`: files to decoded images in the cache, images per second;
- `second run`: seconds until the first batch with a warm cache, without decoding;
- `second epoch`: images per second through `Batches` into the views of `two-views` (with `--train`
  through a whole step of training), streamed from the cache and from memory, and their ratio; and
  those of torchvision's ImageFolder and a DataLoader that decodes and crops once, as a reference.

The three of the last line take turns, a block of steps each; figures are medians over the blocks
and the ratio is the median of the ratios of neighbouring blocks.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2
from train import REST_SECONDS, WARM_UP, trainer_of, waited_for

from sslcore import __version__
from sslcore.api import make_recipe
from sslcore.cli.allocation import keep_freed_memory
from sslcore.compute.device import pick_device
from sslcore.data import Data, Split
from sslcore.data.batches import Batches
from sslcore.pipeline.build import build_data
from sslcore.pipeline.pipeline import augment
from sslcore.random import BatchRandom
from sslcore.recipe.recipe import Recipe

CLASSES = 10
TEST_IMAGES = 100


def make_images(folder: Path, images: int, size: int) -> None:
    """Write JPEGs into class folders of `train` and `test`, unless they exist."""
    done = folder / f"{images}-of-{size}"
    if done.exists():
        return
    for index in range(images + TEST_IMAGES):
        split = "train" if index < images else "test"
        path = folder / split / f"class-{index % CLASSES}" / f"{index:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        _photograph(index, size).save(path, quality=90)
    done.touch()


def _photograph(index: int, size: int) -> Image.Image:
    """Return noise whose power falls with the square of the frequency, as in a photograph."""
    draw = np.random.default_rng(index)
    sides = [side for side in (2, 4, 8, 16, 32, 64, 128, 256) if side < size] + [size]
    total = np.zeros((size, size, 3), dtype=np.float32)
    for octave, side in enumerate(sides):
        noise = Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8))
        smooth = noise.resize((size, size), Image.Resampling.BICUBIC)
        total += (np.asarray(smooth, dtype=np.float32) - 128) / 1.6**octave
    return Image.fromarray((total + 128).clip(0, 255).astype(np.uint8))


def peak_mib() -> int:
    """Return the peak main memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def describe(device: torch.device) -> dict[str, object]:
    """Return the environment of a measurement."""
    cuda = device.type == "cuda"
    described: dict[str, object] = {
        "device": torch.cuda.get_device_name(device) if cuda else str(device),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "peak_mib": peak_mib(),
        "sslcore": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
    }
    if cuda:
        described["peak_device_mib"] = torch.cuda.max_memory_allocated(device) // 2**20
    return described


def recipe_for(folder: Path, size: int, batch: int, precision: str) -> Recipe:
    settings = {
        "training": {
            "batch_size": batch,
            "epochs": 100_000,
            "precision": precision,
            "preset": "quick",
        },
        "data": {"image_size": size},
    }
    recipe, _ = make_recipe("simclr", data=str(folder), encoder="cnn4", settings=settings)
    return recipe


def product_blocks(
    recipe: Recipe, data: Data, device: torch.device, steps: int, *, streamed: bool, train: bool
) -> Iterator[float]:
    """Yield images per second of the second epoch on, block after block."""
    batch = recipe.training.batch_size
    batches = Batches(data.train, batch, 0, device)
    if streamed:
        batches.resident = False
    elif not batches.resident:
        raise SystemExit("the images don't fit into memory: take fewer with --images")
    with trainer_of(recipe, data, batches, device) as trainer:
        augmentation = trainer.pipeline.augmentation
        stream = batches.between(batches.steps_per_epoch, trainer.total_steps)

        def step() -> None:
            item = next(stream)
            if train:
                trainer.train_step(item)
                return
            augment(
                augmentation,
                item.images,
                random=BatchRandom(0, item.step, item.size, device=device),
            )

        keep_freed_memory()
        while True:
            for _ in range(WARM_UP):
                step()
            started = waited_for(device)
            for _ in range(steps):
                step()
            yield batch * steps / (waited_for(device) - started)


def torchvision_blocks(
    folder: Path, size: int, batch: int, steps: int, workers: int
) -> Iterator[float]:
    """Yield images per second of an ImageFolder, decoded and cropped by worker processes."""
    transform = v2.Compose([v2.RandomResizedCrop(size), v2.PILToTensor()])
    loader = torch.utils.data.DataLoader(
        torchvision.datasets.ImageFolder(str(folder / "train"), transform),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )

    def stream() -> Iterator[torch.Tensor]:
        while True:
            for images, _ in loader:
                yield images

    batches = stream()
    while True:
        for _ in range(WARM_UP):
            next(batches)
        started = time.perf_counter()
        for _ in range(steps):
            next(batches)
        rate = batch * steps / (time.perf_counter() - started)
        # Its workers go on reading; they must not use the others' time.
        time.sleep(REST_SECONDS)
        yield rate


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Print the three lines."""
    make_images(folder, options.images, options.size)
    device = pick_device("auto")
    recipe = recipe_for(folder, options.size, options.batch, options.precision)
    case = {"images": options.images, "image_size": options.size, "batch": options.batch}

    started = time.perf_counter()
    data = build_data(recipe.data)
    seconds = time.perf_counter() - started
    count = len(data.train) + len(data.test)
    line = {"case": "first run", **case, "decoded_images_per_s": round(count / seconds, 1)}
    print(json.dumps(line | describe(device)), flush=True)

    with mock.patch("sslcore.data.originals.decoded", side_effect=AssertionError("decoded")):
        started = time.perf_counter()
        data = build_data(recipe.data)
        next(Batches(data.train, options.batch, 0, device).between(0, 10**6))
        seconds = waited_for(device) - started
    line = {"case": "second run", **case, "seconds_to_first_batch": round(seconds, 3)}
    print(json.dumps(line | describe(device)), flush=True)

    memory = Data(Split(data.train.images.clone(), data.train.labels), data.test, None)
    steps, train = options.steps, options.train
    streamed = product_blocks(recipe, data, device, steps, streamed=True, train=train)
    resident = product_blocks(recipe, memory, device, steps, streamed=False, train=train)
    loader = torchvision_blocks(folder, options.size, options.batch, options.steps, options.workers)
    turns = [(next(streamed), next(resident), next(loader)) for _ in range(options.blocks)]
    line = {
        "case": "second epoch, whole step with cnn4"
        if options.train
        else "second epoch, two views",
        **case,
        "streamed_images_per_s": round(statistics.median(a for a, _, _ in turns), 1),
        "resident_images_per_s": round(statistics.median(b for _, b, _ in turns), 1),
        "streamed_to_resident": round(statistics.median(a / b for a, b, _ in turns), 3),
        "ratios": [round(a / b, 3) for a, b, _ in turns],
        "image_folder_images_per_s": round(statistics.median(c for _, _, c in turns), 1),
    }
    print(json.dumps(line | describe(device)), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="where the JPEGs are, or are to be")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=96, help="side of the images, px")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10, help="steps in a block")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument(
        "--train", action="store_true", help="train cnn4 instead of augmenting only"
    )
    parser.add_argument("--precision", default="auto", help="of training")
    parser.add_argument("--workers", type=int, default=2, help="processes of torchvision's loader")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["SSLCORE_CACHE"] = str(Path(temporary) / "cache")
        measure(options, options.folder or Path(temporary) / "images")


if __name__ == "__main__":
    main()
