"""Which files this data set opens, where another one opens tables of paths; and an example."""

from __future__ import annotations

from pathlib import Path

from sslcore.errors import DataError
from sslcore_huggingface._columns import image_columns
from sslcore_huggingface._tables import schema_of


def has_encoded_images(path: str) -> bool:
    """Whether a file has a column of encoded images."""
    try:
        return bool(image_columns(schema_of(Path(path).expanduser())))
    except (DataError, ImportError):
        return False


def example(folder: Path) -> Path:
    """Write a few images of two classes as a Parquet file into a folder; return the folder."""
    import io

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 20, 3)).astype(np.uint8)
    images = []
    for number, values in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(values).save(file, "PNG")
        images.append({"bytes": file.getvalue(), "path": f"{number}.png"})
    columns = {"image": images, "label": [number % 2 for number in range(16)]}
    pq.write_table(pa.table(columns), folder / "train-00000-of-00001.parquet")
    return folder
