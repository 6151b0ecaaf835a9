"""Images per second that become two views each: sslcore against lightly and kornia.

    pip install -e '.[bench]'
    python tests/benchmarks/augmentation.py                # all sizes, five turns each
    python tests/benchmarks/augmentation.py --sizes 32 --turns 9 --seconds 2
    python tests/benchmarks/augmentation.py --sizes 224 --batch 256 --device cuda

All make SimCLR's views (crops of 8 % to all of the image, mirrored, jittered in random order with
probability 0.8 and strengths 0.4, 0.4, 0.4, 0.1, grey with 0.2, blurred with 0.5 at 96 px and more,
normalised) of the same synthetic photographs, which are in memory, so no file is decoded.

- sslcore does what its trainer does: a batch of uint8, `as_float`, the `two-views` augmentation
  with its draws of the step, in memory that is reused in each step.
- lightly is its SimCLRTransform, over PIL images, in a DataLoader with worker processes.
- kornia is its augmentations over the batch, float in [0, 1], once for each view.

With `--device cuda`, sslcore and kornia have their images there; lightly's workers stay on the CPU.

Each turn is a process of its own, and the packages take turns. The figures are medians over the
turns, and a ratio is the median of the turns' ratios. Prints one JSON line per size.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

import torch
from torch import Tensor

from sslcore.cli.allocation import keep_freed_memory

#: Side of a view: side of the images, images in a batch, probability of a blur.
CASES = {32: (32, 256, 0.0), 96: (96, 128, 0.5), 224: (256, 64, 0.5)}
PACKAGES = ("sslcore", "lightly", "kornia")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photographs(count: int, side: int) -> Tensor:
    """Return uint8 images (count, 3, side, side): shapes of all sizes, and a little noise."""
    generator = torch.Generator().manual_seed(0)
    made = torch.zeros(count, 3, side, side)
    for octave in range(1, 6):
        coarse = torch.randn(count, 3, 2**octave, 2**octave, generator=generator)
        made += torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic") / octave
    made += 0.05 * torch.randn(made.shape, generator=generator)
    return (made * 0.15 + 0.5).clamp_(0, 1).mul_(255).round_().to(torch.uint8)


def sslcore_batches(size: int, batch: int, device: str) -> Callable[[], object]:
    """Return a function that makes the views of the next batch, as the trainer does."""
    from sslcore import BatchRandom
    from sslcore.functional import as_float
    from sslcore_simclr.views import TwoViews

    side, _, blur = CASES[size]
    images = photographs(batch, side).to(device)
    augmentation = TwoViews(side, 3, size=size, blur=blur, mean=MEAN, std=STD)
    steps = iter(range(10**9))

    def make() -> Tensor:
        with torch.no_grad():
            random = BatchRandom(0, next(steps), batch, device=device)
            return augmentation(as_float(images), random)["views"]

    return make


def lightly_batches(size: int, batch: int, workers: int) -> Callable[[], object]:
    """Return a function that takes the next batch from lightly's loader."""
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    side, _, blur = CASES[size]
    made = photographs(batch, side).permute(0, 2, 3, 1).numpy()
    images = [Image.fromarray(image) for image in made]
    transform = SimCLRTransform(input_size=size, gaussian_blur=blur, cj_strength=0.5)

    class Images(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(images) * 1000

        def __getitem__(self, index: int) -> list[Tensor]:
            return transform(images[index % len(images)])

    loader = torch.utils.data.DataLoader(Images(), batch_size=batch, num_workers=workers)
    stream: Iterator[object] = iter(loader)
    return lambda: next(stream)


def kornia_batches(size: int, batch: int, device: str, cropping: str) -> Callable[[], object]:
    """Return a function that makes the views of the next batch with kornia."""
    from kornia import augmentation as kornia

    side, _, blur = CASES[size]
    images = photographs(batch, side).to(device)
    kernel = size // 20 * 2 + 1
    parts = [
        kornia.RandomResizedCrop((size, size), scale=(0.08, 1.0), cropping_mode=cropping),
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        kornia.RandomGrayscale(p=0.2),
        *([kornia.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=blur)] if blur else []),
        kornia.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    ]
    augmentation = torch.nn.Sequential(*parts).to(device)

    def make() -> list[Tensor]:
        with torch.no_grad():
            return [augmentation(images.float() / 255) for _ in range(2)]

    return make


def one_turn(
    package: str, size: int, batch: int, device: str, seconds: float, workers: int
) -> dict[str, float]:
    """Return images per second, and by how much the memory of the process grew, in MB."""
    if package == "lightly":
        # First use up the batches that its workers made before the clock starts.
        make = lightly_batches(size, batch, workers)
        return {"images_per_s": batch * _rate(make, seconds, 5, "cpu")}
    if package == "kornia":
        # kornia crops in two ways, by slices and by a grid; the faster one counts.
        return max(
            (
                _measured(kornia_batches(size, batch, device, cropping), seconds, batch, device)
                for cropping in ("slice", "resample")
            ),
            key=lambda measured: measured["images_per_s"],
        )
    if device == "cpu":
        keep_freed_memory()
    return _measured(sslcore_batches(size, batch, device), seconds, batch, device)


def _measured(
    make: Callable[[], object], seconds: float, batch: int, device: str
) -> dict[str, float]:
    before = _peak(device)
    rate = batch * _rate(make, seconds, 2, device)
    return {"images_per_s": rate, "peak_mb": (_peak(device) - before) / 2**20}


def _peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _rate(make: Callable[[], object], seconds: float, warm_up: int, device: str) -> float:
    """Return batches per second, over three batches or more."""

    def now() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    for _ in range(warm_up):
        make()
    started = now()
    done, lap = 0, 1
    while done < 3 or now() - started < seconds:
        # Synchronise rarely, so that the device stays busy in between.
        for _ in range(lap):
            make()
        done, lap = done + lap, min(lap * 2, 64)
    return done / (now() - started)


def main() -> None:
    """Take turns, print a line per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--only", nargs="*", choices=PACKAGES, default=list(PACKAGES))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a turn, at the least")
    parser.add_argument("--workers", type=int, default=2, help="lightly's loader processes")
    parser.add_argument("--batch", type=int, help="images in a batch, instead of the usual")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--turn-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn_of:
        size = options.sizes[0]
        batch = options.batch or CASES[size][1]
        how = (options.device, options.seconds, options.workers)
        print(json.dumps(one_turn(options.turn_of, size, batch, *how)))
        return
    for size in options.sizes:
        turns: list[dict[str, dict[str, float]]] = []
        for _ in range(options.turns):
            turns.append({name: _in_a_process(name, size, options) for name in options.only})
        print(json.dumps(_line(size, turns, options)), flush=True)


def _in_a_process(package: str, size: int, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--turn-of", package, "--sizes", str(size)]
    command += ["--seconds", str(options.seconds), "--workers", str(options.workers)]
    command += ["--device", options.device]
    command += [] if options.batch is None else ["--batch", str(options.batch)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{package}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def _line(
    size: int, turns: list[dict[str, dict[str, float]]], options: argparse.Namespace
) -> dict[str, object]:
    side, usual, blur = CASES[size]
    batch = options.batch or usual
    names = list(turns[0])
    medians = {
        f"{name}_{key}": round(statistics.median(turn[name][key] for turn in turns), 1)
        for name in names
        for key in turns[0][name]
    }
    ratios = {
        f"sslcore / {name}": [
            round(turn["sslcore"]["images_per_s"] / turn[name]["images_per_s"], 2) for turn in turns
        ]
        for name in names
        if name != "sslcore" and "sslcore" in names
    }
    return {
        "case": f"two views of {size} px, images of {side} px in memory, blur {blur}",
        "batch": batch,
        **medians,
        **(
            {"sslcore_ms_per_batch": round(1000 * batch / medians["sslcore_images_per_s"], 2)}
            if "sslcore" in names
            else {}
        ),
        **{key: statistics.median(values) for key, values in ratios.items()},
        "ratios": ratios,
        "turns": len(turns),
        "lightly_workers": options.workers,
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        **{name: version(name) for name in names},
    }


if __name__ == "__main__":
    main()
