"""Seconds and bytes per sample to open tar shards, at first and again, and to read single images.

python tests/benchmarks/shard_index.py --samples 200000 --shards 20
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

from sslcore_webdataset.shards import shards


def _write(folder: Path, samples: int, count: int) -> None:
    generator = np.random.default_rng(0)
    made = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(made, "JPEG")
    for number in range(count):
        with tarfile.open(folder / f"{number:06}.tar", "w") as shard:
            for row in range(number * samples // count, (number + 1) * samples // count):
                for ending, content in (("jpg", made.getvalue()), ("cls", b"%d" % (row % 10))):
                    member = tarfile.TarInfo(f"{row:08}.{ending}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))


@click.command()
@click.option("--samples", default=200_000, show_default=True)
@click.option("--shards", "count", default=20, show_default=True)
def main(samples: int, count: int) -> None:
    """Measure on shards of small images, which are written to a temporary folder."""
    with tempfile.TemporaryDirectory() as place:
        folder, cache = Path(place, "shards"), Path(place, "cache")
        folder.mkdir()
        os.environ["SSLCORE_CACHE"] = str(cache)
        _write(folder, samples, count)
        size = sum(file.stat().st_size for file in folder.iterdir())
        click.echo(f"{samples:,} samples in {count} shards, {size / 1e6:.0f} MB")
        for which in ("first", "second"):
            begun = time.perf_counter()
            data = shards(path=str(folder))
            spent = time.perf_counter() - begun
            click.echo(f"{which} start: {spent:.2f} s, {spent / samples * 1e6:.2f} µs a sample")
        kept = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
        click.echo(f"index: {kept / samples:.1f} bytes a sample")
        rows = np.random.default_rng(1).integers(0, len(data.train), 50_000).tolist()
        fetch = data.train.images.fetch
        begun = time.perf_counter()
        for row in rows:
            fetch(row)
        spent = time.perf_counter() - begun
        click.echo(f"an image in random order: {spent / len(rows) * 1e6:.1f} µs")


if __name__ == "__main__":
    main()
