"""NT-Xent forward and backward: seconds and peak memory, against other packages.

    python tests/benchmarks/loss.py                          # 256 and 8,192 images, three turns
    python tests/benchmarks/loss.py --images 65536 --only sslcore --turns 1
    python tests/benchmarks/loss.py --dtype bfloat16 --device cuda

Each turn is a process of its own, so that its peak memory is its own; the packages take turns.
Needs `pip install -e '.[bench]'`. Prints one JSON line per size and package: medians, their ratios
to sslcore's, and the time of the arithmetic alone in float32 at the rate of a large matrix product,
measured in the same processes. For M = 2N views of length D, the product of all with all
and the two products of its gradient take 6·M²·D operations; if each similarity is computed once for
both directions, and again for the gradient, they take 4·M²·D.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

TEMPERATURE = 0.1
DISTRIBUTIONS = {
    "sslcore": "sslcore",
    "lightly": "lightly",
    "pytorch-metric-learning": "pytorch-metric-learning",
    "dense": "torch",
}


def losses() -> dict[str, Callable[[], Callable[[Tensor, Tensor], Tensor]]]:
    """Return a function of two views for each package's NT-Xent."""

    def sslcore():
        from sslcore_simclr.losses import nt_xent

        return lambda first, second: nt_xent(torch.stack((first, second)), TEMPERATURE)

    def lightly():
        from lightly.loss import NTXentLoss

        return NTXentLoss(temperature=TEMPERATURE)

    def metric_learning():
        from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss

        return SelfSupervisedLoss(NTXentLoss(temperature=TEMPERATURE))

    def dense():
        def loss(first: Tensor, second: Tensor) -> Tensor:
            unit = torch.nn.functional.normalize(torch.cat((first, second)), dim=1)
            logits = (unit @ unit.T / TEMPERATURE).fill_diagonal_(-torch.inf)
            own = torch.arange(len(unit), device=unit.device).roll(len(first))
            return torch.nn.functional.cross_entropy(logits, own)

        return loss

    return {
        "sslcore": sslcore,
        "lightly": lightly,
        "pytorch-metric-learning": metric_learning,
        "dense": dense,
    }


def one_turn(package: str, images: int, dim: int, device: str, dtype: str) -> dict[str, float]:
    """Score and differentiate once, after a small call that loads everything."""
    loss = losses()[package]()

    def views(count: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        drawn = (torch.randn(count, dim, generator=generator) for _ in range(2))
        return [view.to(device, getattr(torch, dtype)).requires_grad_() for view in drawn]

    def run(first: Tensor, second: Tensor) -> float:
        score = loss(first, second)
        score.backward()
        return float(score)

    run(*views(256))
    first, second = views(images)
    _forget_peak(device)
    before = _peak(device)
    started = time.perf_counter()
    value = run(first, second)
    seconds = time.perf_counter() - started
    held = _peak(device) - before
    return {"seconds": seconds, "bytes": held, "loss": value, "rate": _rate(device)}


def _forget_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    else:
        # From here on the kernel's peak counts this process only.
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def _peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _rate(device: str) -> float:
    """Return the operations per second of a large matrix product in float32."""
    side = 4096 if device == "cuda" else 2048
    one = torch.randn(side, side, device=device)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        product = one @ one
        float(product[0, 0])
        times.append(time.perf_counter() - started)
    return 2 * side**3 / statistics.median(times)


def main() -> None:
    """Take turns, print a line per size and package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[256, 8192])
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(DISTRIBUTIONS))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--turn-of", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    kind = (options.dim, options.device, options.dtype)
    if options.turn_of:
        package, images = options.turn_of
        print(json.dumps(one_turn(package, int(images), *kind)))
        return
    for images in options.images:
        compare(images, options)


def compare(images: int, options: argparse.Namespace) -> None:
    """Print a line per package for batches of so many images."""
    found: dict[str, list[dict]] = {name: [] for name in options.only or DISTRIBUTIONS}
    failed: dict[str, str] = {}
    for _ in range(options.turns):
        for name in found:
            if name in failed:
                continue
            turn = ["--turn-of", name, str(images)]
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], *turn], capture_output=True, text=True
            )
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
                failed[name] = lines[-1]
            else:
                found[name].append(json.loads(done.stdout.splitlines()[-1]))
    ours = _medians(found.get("sslcore", []))
    for name, turns in found.items():
        medians = _medians(turns)
        rate = medians.pop("rate", None)
        square = (2 * images) ** 2 * options.dim
        line = {
            "case": f"NT-Xent forward and backward, N = {images}, D = {options.dim}",
            "package": f"{name} {version(DISTRIBUTIONS[name])}",
            **({"failed": failed[name]} if name in failed else {}),
            **{key: round(value, 4) for key, value in medians.items()},
            **{
                f"{key} / sslcore": round(medians[key] / ours[key], 2)
                for key in ("seconds", "bytes")
                if medians and ours and ours[key]
            },
            **{
                f"seconds of {count}·M²·D operations": round(count * square / rate, 4)
                for count in (6, 4)
                if rate
            },
            "turns": len(turns),
            "projections": options.dtype,
            "device": _name_of(options.device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        print(json.dumps(line, ensure_ascii=False), flush=True)


def _medians(turns: list[dict]) -> dict[str, float]:
    return (
        {key: statistics.median(turn[key] for turn in turns) for key in turns[0]} if turns else {}
    )


def _name_of(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
