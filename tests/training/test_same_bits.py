"""The same images from a folder, a table, tar shards, Parquet and a data set of torch."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from safetensors.torch import load_file

import sslcore

CLASSES = ("ant", "bee")
QUICK = {"epochs": 2, "batch_size": 8, "precision": "fp32"}


def encoded(number: int) -> bytes:
    draw = np.random.default_rng(number)
    width, height = 40 + number % 7, 30 + number % 5
    coarse = draw.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


class Items:
    """A data set of torch, map-style: Pillow's images with numbers of classes."""

    classes = CLASSES

    def __init__(self, images: list[tuple[bytes, int]]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int):
        content, label = self.images[row]
        return Image.open(io.BytesIO(content)).convert("RGB"), label


@pytest.fixture(scope="module")
def images() -> dict[str, list[tuple[str, bytes, int]]]:
    """Return (name, content, class) of the images of each split, sorted by class and name."""
    return {
        "train": [(f"{n:03}", encoded(n), n // 20) for n in range(40)],
        "test": [(f"{n:03}", encoded(100 + n), n // 4) for n in range(8)],
    }


@pytest.fixture(scope="module")
def sources(images, tmp_path_factory) -> dict[str, object]:
    root = tmp_path_factory.mktemp("sources")
    rows = []
    for split, items in images.items():
        for name, content, label in items:
            path = root / "folder" / split / CLASSES[label] / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            rows.append((str(path.relative_to(root)), CLASSES[label], split))
        with tarfile.open(_parent(root / "shards" / f"{split}-000.tar"), "w") as archive:
            for name, content, label in items:
                for ending, part in ((".jpg", content), (".cls", str(label).encode())):
                    member = tarfile.TarInfo(f"{name}{ending}")
                    member.size = len(part)
                    archive.addfile(member, io.BytesIO(part))
        features = {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}
        table = pyarrow.table(
            {
                "image": [{"bytes": content, "path": f"{n}.jpg"} for n, content, _ in items],
                "label": [label for _, _, label in items],
            }
        ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        parquet.write_table(table, _parent(root / "parquet" / f"{split}-000.parquet"))
    lines = ["path,label,split", *(",".join(row) for row in rows)]
    (root / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    splits = [Items([(content, label) for _, content, label in items]) for items in images.values()]
    return {
        "folder": str(root / "folder"),
        "table": str(root / "table.csv"),
        "shards": str(root / "shards"),
        "parquet": str(root / "parquet"),
        "torch": tuple(splits),
    }


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize("cache", ["auto", "decoded", "none"])
def test_the_same_images_give_the_same_weights_from_every_source(sources, cache, tmp_path):
    weights = {}
    for name, data in sources.items():
        run = sslcore.train(
            "simclr",
            data=data,
            encoder="small-cnn",
            settings={"training": QUICK, "data": {"image_size": 16, "cache": cache}},
            output=tmp_path / name,
            evaluate=False,
            device="cpu",
        )
        weights[name] = load_file(run.path / "encoder.safetensors")
    expected = weights.pop("folder")
    for name, found in weights.items():
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items()), name
