"""NT-Xent forward and backward: seconds and peak memory beside those of other packages.

    python tests/benchmarks/loss.py                          # 8,192 images, three turns each
    python tests/benchmarks/loss.py --images 65536 --only sslcore --turns 1

Each turn is a process of its own, so that its peak memory is its own; the packages take turns.
Needs `pip install -e '.[bench]'`. Prints one JSON line per package, with medians and the ratio to
sslcore, and what the arithmetic alone would take at the rate of a large matrix product.
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
from importlib.metadata import version

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
    """Return what makes each package's NT-Xent, a function of two views."""

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


def one_turn(package: str, images: int, dim: int, device: str) -> dict[str, float]:
    """Score and differentiate once, after a small call that loads everything."""
    loss = losses()[package]()

    def views(count: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        drawn = (torch.randn(count, dim, generator=generator) for _ in range(2))
        return [view.to(device).requires_grad_() for view in drawn]

    def run(first: Tensor, second: Tensor) -> float:
        score = loss(first, second)
        score.backward()
        return float(score)

    run(*views(256))
    first, second = views(images)
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    before = _peak(device)
    started = time.perf_counter()
    value = run(first, second)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "bytes": max(0, _peak(device) - before), "loss": value}


def _peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def seconds_of_arithmetic(images: int, dim: int, device: str) -> float:
    """Return what 6·(2N)²·D operations take at the rate of a large matrix product."""
    side = 4096 if device == "cuda" else 2048
    one = torch.randn(side, side, device=device)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        product = one @ one
        float(product[0, 0])
        times.append(time.perf_counter() - started)
    rate = 2 * side**3 / statistics.median(times)
    return 6 * (2 * images) ** 2 * dim / rate


def main() -> None:
    """Take turns, print a line per package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8192)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(DISTRIBUTIONS))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--turn-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = (options.images, options.dim, options.device)
    if options.turn_of:
        print(json.dumps(one_turn(options.turn_of, *size)))
        return
    found: dict[str, list[dict]] = {name: [] for name in options.only or DISTRIBUTIONS}
    failed: dict[str, str] = {}
    for _ in range(options.turns):
        for name in found:
            if name in failed:
                continue
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--turn-of", name],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
                failed[name] = lines[-1]
            else:
                found[name].append(json.loads(done.stdout.splitlines()[-1]))
    arithmetic = seconds_of_arithmetic(*size)
    ours = _medians(found.get("sslcore", []))
    for name, turns in found.items():
        medians = _medians(turns)
        line = {
            "case": f"NT-Xent forward and backward, N = {options.images}, D = {options.dim}",
            "package": f"{name} {version(DISTRIBUTIONS[name])}",
            **({"failed": failed[name]} if name in failed else {}),
            **{key: round(value, 4) for key, value in medians.items()},
            **{
                f"{key} / sslcore": round(medians[key] / ours[key], 2)
                for key in ("seconds", "bytes")
                if medians and ours and ours[key]
            },
            "seconds of arithmetic alone": round(arithmetic, 3),
            "turns": len(turns),
            "device": options.device,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
        }
        print(json.dumps(line), flush=True)


def _medians(turns: list[dict]) -> dict[str, float]:
    return (
        {key: statistics.median(turn[key] for turn in turns) for key in turns[0]} if turns else {}
    )


if __name__ == "__main__":
    main()
