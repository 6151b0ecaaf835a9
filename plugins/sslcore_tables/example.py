"""A small table of images, for checks."""

from __future__ import annotations

import csv
from pathlib import Path

from sslcore.testing.parts.examples import class_folders


def write(folder: Path) -> Path:
    """Write images of two classes and a table of them; return the path of the table."""
    images = sorted(class_folders(folder).glob("*/*.png"))
    table = folder / "table.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows([path.relative_to(folder), path.parent.name] for path in images)
    return table
