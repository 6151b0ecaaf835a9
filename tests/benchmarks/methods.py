"""Scores of the shipped methods on the embedded data, with both baselines, and seconds.

    python tests/benchmarks/methods.py                  # every method, three seeds
    python tests/benchmarks/methods.py simclr cpc --seeds 1

Prints one JSON line per run and, at the end, a table with means over seeds.
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

CASES = {
    "simclr": [],
    "infonce": [],
    "byol": [],
    "simsiam": [],
    "moco": [],
    "moco-v3": [],
    "vicreg": [],
    "barlow-twins": [],
    "dino": [],
    "mae": [],
    "cpc": [],
    "predictive-coding": [],
    "autoencoder": [],
    "denoising-autoencoder": [],
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
    del table["details"]
    return {"case": case, "seed": seed, "seconds": round(seconds, 1), **table}


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
        seconds = max(line["seconds"] for line in lines)
        for figure in SHOWN:
            if figure not in lines[0]["encoder"]:
                continue
            cells = []
            for column in ("encoder", "random_init", "pixels"):
                values = [line[column][figure] for line in lines]
                cells.append(f"{sum(values) / len(values):.4f}")
            print(f"| {case} | {figure} | {' | '.join(cells)} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
