"""Seconds per batch and bytes of an epoch's order, against a permutation in memory.

    python tests/benchmarks/epoch_order.py --size 1280000 --batch-size 256

Prints a JSON line: microseconds per batch, what the first batch of an epoch waits for, and the
memory that an order takes.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from sslcore.data import Split
from sslcore.data.batches import Batches


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1_280_000)
    parser.add_argument("--batch-size", type=int, default=256)
    options = parser.parse_args()
    images = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(options.size, 1, 1, 1)
    batches = Batches(Split(images), options.batch_size, 0, torch.device("cpu"))
    steps = batches.steps_per_epoch
    started = time.perf_counter()
    batches.rows(0)
    first = time.perf_counter() - started
    for step in range(steps):
        batches.rows(step)
    epoch = time.perf_counter() - started
    started = time.perf_counter()
    order = torch.randperm(options.size)
    permutation = time.perf_counter() - started
    for step in range(steps):
        order[step * options.batch_size : (step + 1) * options.batch_size]
    in_memory = time.perf_counter() - started
    line = {
        "size": options.size,
        "microseconds_per_batch": round(epoch / steps * 1e6, 1),
        "milliseconds_to_first_batch": round(first * 1e3, 2),
        "randperm_microseconds_per_batch": round(in_memory / steps * 1e6, 1),
        "randperm_milliseconds_to_first_batch": round(permutation * 1e3, 2),
        "randperm_bytes": order.nbytes,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
