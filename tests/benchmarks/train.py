"""Images per second of SimCLR end to end: sslcore beside lightly, the same network, one process.

    pip install -e '.[bench]'
    python tests/benchmarks/train.py FOLDER            # class folders of 32 px images
    python tests/benchmarks/train.py FOLDER --precision auto

Both train `cnn4` with the same head, optimizer, batch and threads. lightly's side is its own
SimCLRTransform (32 px, no blur), a DataLoader with two workers over the same files, and its
NTXentLoss. The two take turns, a block of steps each; the figures are medians over the blocks and
the ratio is the median of the ratios of neighbouring blocks. Prints one JSON line.

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
from pathlib import Path

import torch
import torchvision
from torch import nn

from sslcore import __version__
from sslcore.api import make_recipe
from sslcore.assembly import ImageShape, build_data, build_pipeline
from sslcore.batches import Batches
from sslcore.device import pick_device, pick_precision
from sslcore.trainer import Trainer

#: Steps of a block that are not timed: lightly's loader holds two batches for each worker.
WARM_UP = 5
#: How long two workers take, at the most, to fill that store again.
REST_SECONDS = 6.0

SETTINGS = {"optimizer": {"lr": 0.06}, "data": {"image_size": 32}}


def sslcore_blocks(folder: str, batch: int, steps: int, precision: str) -> Iterator[float]:
    """Yield images per second, block after block, of the product's own trainer."""
    settings = {
        **SETTINGS,
        "training": {"batch_size": batch, "epochs": 1000, "precision": precision},
    }
    recipe, _ = make_recipe("simclr", data=folder, encoder="cnn4", settings=settings)
    data = build_data(recipe.data)
    device = pick_device("auto")
    pipeline = build_pipeline(recipe, ImageShape.of(data.train))
    pipeline = pipeline.to(device).to(memory_format=torch.channels_last)
    batches = Batches(data.train, batch, 0, device)
    precision = pick_precision(precision, device)
    with tempfile.TemporaryDirectory() as checkpoints:
        trainer = Trainer(recipe, pipeline, batches, device, precision, Path(checkpoints))
        pipeline.train()
        stream = batches.between(0, trainer.total_steps)
        while True:
            for _ in range(WARM_UP):
                trainer._train_step(next(stream))
            started = time.perf_counter()
            for _ in range(steps):
                trainer._train_step(next(stream))
            yield batch * steps / (time.perf_counter() - started)


def lightly_blocks(folder: str, batch: int, steps: int, workers: int) -> Iterator[float]:
    """Yield images per second, block after block, of lightly around the same network."""
    from lightly.loss import NTXentLoss
    from lightly.transforms import SimCLRTransform

    recipe, _ = make_recipe("simclr", data=folder, encoder="cnn4", settings=SETTINGS)
    pipeline = build_pipeline(recipe, ImageShape(32, 3))
    network = nn.ModuleDict({"encoder": pipeline.encoder, "head": pipeline.head})
    network.train()
    transform = SimCLRTransform(input_size=32, gaussian_blur=0.0, cj_strength=0.5)
    root = Path(folder)
    split = root / "train" if (root / "train").is_dir() else root
    images = torchvision.datasets.ImageFolder(str(split), transform)
    loader = torch.utils.data.DataLoader(
        images,
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    criterion = NTXentLoss(temperature=0.5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.06, momentum=0.9, weight_decay=1e-4)

    def stream() -> Iterator[list[torch.Tensor]]:
        while True:
            for views, _ in loader:
                yield views

    def train_step(views: list[torch.Tensor]) -> None:
        made = []
        for view in views[:2]:
            features = network["encoder"](view)["features"]
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
        started = time.perf_counter()
        for _ in range(steps):
            train_step(next(batches))
        rate = batch * steps / (time.perf_counter() - started)
        time.sleep(REST_SECONDS)
        yield rate


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6, help="steps in a block")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--workers", type=int, default=2, help="lightly's loader processes")
    options = parser.parse_args()
    ours = sslcore_blocks(options.folder, options.batch, options.steps, options.precision)
    theirs = lightly_blocks(options.folder, options.batch, options.steps, options.workers)
    pairs = [(next(ours), next(theirs)) for _ in range(options.blocks)]
    import lightly

    print(
        json.dumps(
            {
                "case": "simclr cnn4 end to end",
                "batch": options.batch,
                "precision": options.precision,
                "sslcore_images_per_s": round(statistics.median(a for a, _ in pairs), 1),
                "lightly_images_per_s": round(statistics.median(b for _, b in pairs), 1),
                "ratio": round(statistics.median(a / b for a, b in pairs), 3),
                "ratios": [round(a / b, 3) for a, b in pairs],
                "device": str(pick_device("auto")),
                "cpus": os.cpu_count(),
                "sslcore": __version__,
                "lightly": lightly.__version__,
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
