"""Accuracy and seconds of a full SimCLR run on CIFAR-10, by the recipe of lightly's benchmark.

    python tests/benchmarks/cifar10.py --device cuda --compile           # 200 epochs, ResNet-18
    python tests/benchmarks/cifar10.py --data FOLDER --device cuda       # class folders, 32 px
    python tests/benchmarks/cifar10.py --data FOLDER --encoder cnn4 --epochs 1 --images 2048
    python tests/benchmarks/cifar10.py --data FOLDER --encoder cnn4 --epochs 30 --preset 32px

Trains through the public API, evaluates the k nearest neighbours (k = 200, temperature 0.1) of the
trained encoder against the untrained one and the raw pixels, and prints one JSON line. Seconds
count everything, from reading the first image to the last figure. lightly publishes 84.8 % for
SimCLR with ResNet-18 on CIFAR-10 after 200 epochs with batches of 512.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torchvision

import sslcore
from sslcore.api import train
from sslcore.compute.device import pick_device

#: lightly's figure after 200 epochs, top-1 of the k nearest neighbours.
PUBLISHED = 0.848
#: The learning rate is for this batch size, and grows with the batch size.
BASE_BATCH = 128


def settings_for(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the settings by section: those of a preset, or of lightly's benchmark."""
    normalised = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)}
    common = {
        "epochs": options.epochs,
        "batch_size": options.batch,
        "precision": options.precision,
        "seed": options.seed,
        "checkpoint_every": 10_000,
    }
    evaluator = {"k": options.k, "temperature": 0.1}
    if options.preset:
        return {
            "augmentation": normalised,
            "training": {**common, "preset": options.preset},
            "evaluator": evaluator,
        }
    return {
        "augmentation": {
            "crop_scale": (0.08, 1.0),
            "jitter": 0.8,
            "brightness": 0.4,
            "contrast": 0.4,
            "saturation": 0.4,
            "hue": 0.1,
            "grayscale": 0.2,
            "blur": 0.0,
            **normalised,
        },
        "head": {"hidden": (options.hidden,), "dim": options.dim},
        "loss": {"temperature": options.temperature},
        "optimizer": {
            "name": "sgd",
            "lr": options.lr * options.batch / BASE_BATCH,
            "momentum": options.momentum,
            "weight_decay": options.weight_decay,
        },
        "schedule": {"name": "cosine"},
        "training": {**common, "preset": "quick", "warmup_epochs": options.warmup},
        "evaluator": evaluator,
    }


def part_of(folder: Path, images: int, into: Path) -> Path:
    """Return a folder of links to the first images of each class, `images` in either split."""
    for split in ("train", "test"):
        classes = sorted(path for path in (folder / split).iterdir() if path.is_dir())
        for directory in classes:
            target = into / split / directory.name
            target.mkdir(parents=True)
            for file in sorted(directory.iterdir())[: max(1, images // len(classes))]:
                (target / file.name).symlink_to(file.resolve())
    return into


def measure(options: argparse.Namespace, data: str, output: Path) -> dict[str, Any]:
    """Train, evaluate, and return the line."""
    started = time.perf_counter()
    run = train(
        "simclr",
        data=data,
        encoder=options.encoder,
        evaluators=["knn"],
        settings=settings_for(options),
        output=output,
        device=options.device,
        compile=options.compile,
    )
    seconds = time.perf_counter() - started
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    # The first line includes the start: compilation, and the choice of the fastest convolution.
    rates = [line["images_per_second"] for line in lines[1:] or lines]
    table = run.read_evaluation()
    figures = {column: table[column]["knn_top1"] for column in ("encoder", "random_init", "pixels")}
    device = pick_device(options.device)
    cuda = device.type == "cuda"
    return {
        "case": f"simclr {options.encoder} on CIFAR-10",
        "preset": options.preset,
        "images": run.train_images(),
        "epochs": options.epochs,
        "batch": options.batch,
        "precision": options.precision,
        "compiled": options.compile,
        "images_per_s": round(statistics.median(rates), 1),
        "seconds": round(seconds, 1),
        "last_loss": round(lines[-1]["loss"], 4),
        "k": options.k,
        "knn": round(figures["encoder"], 4),
        "untrained_knn": round(figures["random_init"], 4),
        "pixels_knn": round(figures["pixels"], 4),
        "ratio_to_lightly_200_epochs": round(figures["encoder"] / PUBLISHED, 3),
        "device": torch.cuda.get_device_name(device) if cuda else str(device),
        "peak_device_mib": torch.cuda.max_memory_allocated(device) // 2**20 if cuda else None,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "sslcore": sslcore.__version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cifar10", help="cifar10, or a folder of its images")
    parser.add_argument("--images", type=int, help="of a folder, the first so many in each split")
    parser.add_argument("--preset", help="train with this preset of SimCLR instead, such as 32px")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--lr", type=float, default=0.06, help=f"for batches of {BASE_BATCH}")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--warmup", type=float, default=0.0, help="epochs")
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--hidden", type=int, default=512, help="width of the head")
    parser.add_argument("--dim", type=int, default=128, help="length of a projection")
    parser.add_argument("--k", type=int, default=200, help="neighbours that vote")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--output", type=Path, help="the run's folder, to be kept")
    options = parser.parse_args()
    if options.images and not Path(options.data).is_dir():
        parser.error("--images takes a part of a folder; use --data FOLDER")
    with tempfile.TemporaryDirectory() as temporary:
        data = options.data
        if options.images:
            os.environ["SSLCORE_CACHE"] = str(Path(temporary) / "cache")
            data = str(part_of(Path(data), options.images, Path(temporary) / "images"))
        line = measure(options, data, options.output or Path(temporary) / "run")
    print(json.dumps(line))


if __name__ == "__main__":
    main()
