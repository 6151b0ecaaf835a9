"""Scores of the shipped methods on the embedded data, with both baselines, and seconds.

    python tests/benchmarks/methods.py                  # every method, three seeds
    python tests/benchmarks/methods.py simclr cpc --seeds 1

Prints one JSON line per run and, at the end, a table with means over seeds. A mean is bold if it is
better than both baselines by more than the spread of the test images and of the drawn labels.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sslcore.evaluation.evaluate import ENCODER, PIXELS, RANDOM_INIT
from sslcore.evaluation.table import cell, is_best, test_images

CASES = {
    "simclr": [],
    "infonce": [],
    "byol": [],
    "simsiam": [],
    "moco": [],
    "moco-v3": [],
    "nnclr": [],
    "vicreg": [],
    "barlow-twins": [],
    "lejepa": [],
    "swav": [],
    "deepcluster-v2": [],
    "dino": [],
    "mae": [],
    "i-jepa": [],
    "cpc": [],
    "predictive-coding": [],
    "autoencoder": [],
    "denoising-autoencoder": [],
    "supcon": [],
    "semi-supcon": ["--method", "semi-supcon", "--set", "training.labels_per_class=5"],
    "clip": [],
    "cpc on moving-digits": ["--method", "cpc", "--data", "moving-digits"],
    "predictive-coding on moving-digits": [
        "--method",
        "predictive-coding",
        "--data",
        "moving-digits",
    ],
}
SHOWN = ("linear_top1_5_per_class", "linear_top1", "knn_top1", "reconstruction_mse")


def measure(case: str, seed: int, folder: str) -> dict:
    """Run a method as a user does, in a process of its own, and return its figures."""
    output = Path(folder) / f"{case.replace(' ', '-')}-{seed}"
    arguments = CASES[case] or ["--method", case]
    command = [sys.executable, "-m", "sslcore", "train", *arguments]
    started = time.perf_counter()
    subprocess.run(
        [*command, "--no-report", "--seed", str(seed), "--output", str(output)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    table = json.loads((output / "evaluation.json").read_text())
    return {"case": case, "seed": seed, "seconds": round(seconds, 1), **table}


def mean(lines: list[dict]) -> dict[str, dict[str, float]]:
    """Return the table of means over seeds."""
    return {
        column: {
            name: sum(line[column][name] for line in lines) / len(lines)
            for name in lines[0][column]
        }
        for column in (ENCODER, RANDOM_INIT, PIXELS)
    }


def main() -> None:
    """Measure, print lines, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps({"cpus": os.cpu_count(), "machine": platform.machine()}), flush=True)
    found: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            for case in options.cases or CASES:
                line = measure(case, seed, folder)
                print(json.dumps(line), flush=True)
                found.setdefault(case, []).append(line)
    print("\n| run | figure | trained | untrained | pixels | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case, lines in found.items():
        table = mean(lines)
        seconds = max(line["seconds"] for line in lines)
        for figure in SHOWN:
            if figure not in lines[0]["encoder"]:
                continue
            images = test_images(lines[0]["details"], figure)
            cells = [cell(column, figure, images) for column in table.values()]
            if is_best(table, figure, images):
                cells[0] = f"**{cells[0]}**"
            print(f"| {case} | {figure} | {' | '.join(cells)} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
