"""Seconds and bytes per file to list the images of a folder: at first, again, and after a change.

    python tests/benchmarks/file_index.py --files 200000 --per-folder 1280 --at /tmp/tiny

Makes the folder, of files of 1 byte, if it does not exist. Prints a JSON line per start, each in a
process of its own; `bytes_per_file` is the growth of the process's own memory (mapped pages of the
index, which processes share, are `shared_per_file`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ONE_START = """
import json, sys, time
from pathlib import Path
import numpy, torch
from sslcore_torchvision._listing import arrange
from sslcore_torchvision._scan import image_files

def memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    return int(found["RssAnon"]) * 1024, int(found["RssFile"]) * 1024

before = memory()
started = time.perf_counter()
index = image_files(Path(sys.argv[1]), Path(sys.argv[2]))
indexed = time.perf_counter()
listing = arrange(index, 0.2)
labels = None if listing.labels is None else torch.from_numpy(listing.labels)
arranged = time.perf_counter()
own, shared = (after - earlier for after, earlier in zip(memory(), before))
print(json.dumps({
    "files": len(index),
    "index_seconds": round(indexed - started, 3),
    "arrange_seconds": round(arranged - indexed, 3),
    "microseconds_per_file": round((arranged - started) / len(index) * 1e6, 2),
    "bytes_per_file": round(own / len(index)),
    "shared_per_file": round(shared / len(index)),
    "disk_per_file": round(sum(f.stat().st_size for f in Path(sys.argv[2]).iterdir()) / len(index)),
}))
"""


def make(root: Path, files: int, per_folder: int) -> None:
    """Make a folder of class folders, older than the listing takes for new."""
    for start in range(0, files, per_folder):
        folder = root / f"n{start // per_folder:08}"
        folder.mkdir(parents=True)
        for number in range(start, min(start + per_folder, files)):
            (folder / f"{folder.name}_{number:08}.JPEG").write_bytes(b"0")
    time.sleep(2.5)


def start(what: str, root: Path, cache: Path) -> None:
    """List the folder in a new process and print its line."""
    command = [sys.executable, "-c", ONE_START, str(root), str(cache)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(json.dumps({"start": what, **json.loads(done.stdout)}), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--per-folder", type=int, default=1280)
    parser.add_argument("--at", type=Path, required=True)
    options = parser.parse_args()
    if not options.at.exists():
        make(options.at, options.files, options.per_folder)
    cache = options.at.with_name(f"{options.at.name}-index")
    for file in cache.glob("*"):
        file.unlink()
    start("first", options.at, cache)
    start("second", options.at, cache)
    added = next(options.at.iterdir()) / "added.JPEG"
    added.write_bytes(b"0")
    os.utime(added.parent, (0, time.time() - 10))
    start("one file more", options.at, cache)
    added.unlink()
    start("one file less", options.at, cache)


if __name__ == "__main__":
    main()
