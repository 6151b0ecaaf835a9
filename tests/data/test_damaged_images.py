"""Damaged files of each format: one clear error, and never a crash or a hang."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import npy, pgm, photo, pillow, png, tiff

from sslcore.data.decoding import DecodingError, Header, decoded, header_of

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (24, 31, 3), dtype=np.uint8)
WIDE = RNG.integers(0, 65536, (24, 31, 4), dtype=np.uint16)
CHANNELS = np.ascontiguousarray(np.resize(WIDE, (13, 24, 31)))
FILES = {
    "jpeg": photo(BYTES),
    "progressive jpeg": photo(BYTES, progressive=True),
    "cmyk jpeg": photo(BYTES, "CMYK"),
    "png": pillow(BYTES, "PNG"),
    "wide png": png(WIDE),
    "wide grey png": png(WIDE[..., 0]),
    "bmp": pillow(BYTES, "BMP"),
    "gif": pillow(BYTES[..., 0], "GIF"),
    "webp": pillow(BYTES, "WEBP"),
    "ppm": pillow(BYTES, "PPM"),
    "pgm": pgm(WIDE[..., 0], 65535),
    "tiff": pillow(BYTES, "TIFF"),
    "pages": tiff(CHANNELS),
    "planar tiff": tiff(CHANNELS, planarconfig="separate", compression="zlib"),
    "tiled tiff": tiff(CHANNELS, tile=(16, 16), compression="lzw", predictor=True),
    "big tiff": tiff(CHANNELS, bigtiff=True),
    "ome tiff": tiff(CHANNELS, ome=True, metadata={"axes": "CYX"}),
    "npy": npy(CHANNELS),
}


def tried(data: bytes) -> torch.Tensor | None:
    """Return the image, or None after a check that there is one line to say why not."""
    reasons, made = [], None
    for read in (header_of, decoded):
        try:
            made = read(data)
        except DecodingError as error:
            reasons.append(str(error))
    assert all(len(reason.splitlines()) == 1 for reason in reasons)
    return None if isinstance(made, Header) else made


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_cut_off_is_an_error_unless_nothing_is_missing(kind: str) -> None:
    data = FILES[kind]
    whole = decoded(data)

    for end in np.unique(np.linspace(0, len(data) - 1, 200).astype(int)):
        made = tried(data[:end])
        assert made is None or torch.equal(made, whole), f"{end} of {len(data)} bytes"


@pytest.mark.parametrize("kind", FILES)
def test_half_a_file_is_no_image(kind: str) -> None:
    with pytest.raises(DecodingError, match="can't be read as an image: "):
        decoded(FILES[kind][: len(FILES[kind]) // 2])


@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=60, deadline=None)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=6),
    head=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 255)), max_size=3),
)
def test_flipped_bits_give_an_image_or_an_error_in_one_line(
    kind: str, flips: list[tuple[float, int]], head: list[tuple[int, int]]
) -> None:
    data = bytearray(FILES[kind])
    for place, bits in [(int(part * len(data)), bits) for part, bits in flips] + head:
        data[min(place, len(data) - 1)] ^= bits

    tried(bytes(data))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([data[:8] for data in FILES.values()]), st.binary(max_size=200))
def test_noise_behind_the_first_bytes_is_an_error_in_one_line(begin: bytes, noise: bytes) -> None:
    tried(begin + noise)
