"""Seconds of commands with many plugins installed and with none, in turns.

    python tests/benchmarks/plugins.py [PLUGINS] [TURNS]

Prints one JSON line per command: medians, the difference, and milliseconds per plugin.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = (["plugins"], ["--help"])

SOURCE = """
import sslcore

@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(name="loss-{number}", summary="Made up", build="{module}:Loss")

@sslcore.hookimpl
def sslcore_heads():
    yield sslcore.Head(name="head-{number}", summary="Made up", build="{module}:Head")
"""


def make_plugins(folder: Path, count: int) -> None:
    """Write distributions of one module each into a folder, as pip would install them."""
    for number in range(count):
        module = f"made_up_plugin_{number}"
        (folder / f"{module}.py").write_text(SOURCE.format(module=module, number=number))
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sslcore]\n{module} = {module}\n")


def seconds(arguments: list[str], folder: Path | None) -> float:
    """Return how long a command takes, with a folder of plugins on the path or without."""
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join(filter(None, [str(folder) if folder else "", inherited]))
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "sslcore", *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )
    return time.perf_counter() - started


def main(count: int = 200, turns: int = 9) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_plugins(folder, count)
        for arguments in COMMANDS:
            # One untimed run each, since Python compiles modules at their first import.
            seconds(arguments, folder)
            seconds(arguments, None)
            pairs = [(seconds(arguments, folder), seconds(arguments, None)) for _ in range(turns)]
            difference = statistics.median(many - none for many, none in pairs)
            line = {
                "command": f"sslcore {' '.join(arguments)}",
                "plugins": count,
                "seconds": round(statistics.median(many for many, _ in pairs), 3),
                "seconds_without": round(statistics.median(none for _, none in pairs), 3),
                "difference": round(difference, 3),
                "milliseconds_per_plugin": round(1000 * difference / count, 2),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
