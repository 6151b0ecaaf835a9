"""Data sets of Hugging Face: Parquet and Arrow files with encoded images, on disk or on the hub."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore


@sslcore.hookimpl
def sslcore_datasets() -> Iterator[sslcore.Dataset]:
    yield sslcore.Dataset(
        name="huggingface",
        summary="Parquet or Arrow files with encoded images, on disk or on the Hugging Face hub",
        reference="Lhoest et al. 2021, Datasets: a community library for NLP",
        build="sslcore_huggingface.dataset:huggingface",
        opens=(
            ".parquet",
            ".arrow",
            "/*.parquet",
            "/data/*.parquet",
            "/train/*.parquet",
            "/*.arrow",
            "/dataset_dict.json",
            "/state.json",
        ),
        recognizes="sslcore_huggingface.opening:has_encoded_images",
        example="sslcore_huggingface.opening:example",
    )
