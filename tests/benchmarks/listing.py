"""Seconds of the listing commands and of a bare interpreter, in turns.

    python tests/benchmarks/listing.py

Prints one JSON line per command: medians, and the difference to the bare interpreter.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

COMMANDS = (
    ["--help"],
    ["methods"],
    ["components"],
    ["components", "loss", "nt-xent"],
    ["plugins"],
)


def seconds(command: list[str]) -> float:
    """Return how long a command takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    for arguments in COMMANDS:
        pairs = [
            (
                seconds([sys.executable, "-m", "sslcore", *arguments]),
                seconds([sys.executable, "-c", "pass"]),
            )
            for _ in range(9)
        ]
        line = {
            "command": f"sslcore {' '.join(arguments)}",
            "seconds": round(statistics.median(a for a, _ in pairs), 3),
            "bare_interpreter": round(statistics.median(b for _, b in pairs), 3),
            "difference": round(statistics.median(a - b for a, b in pairs), 3),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
