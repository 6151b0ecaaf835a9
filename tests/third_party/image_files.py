"""Image files of each format, written from arrays."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image


def pillow(values: np.ndarray, kind: str, **options: object) -> bytes:
    """Return a file that Pillow writes of an array (H, W) or (H, W, C)."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def photo(values: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    """Return a JPEG file; `mode` converts the image before."""
    file = io.BytesIO()
    image = Image.fromarray(values)
    (image if mode is None else image.convert(mode)).save(file, "JPEG", **options)
    return file.getvalue()


def png(values: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG file of 8 or 16 bits, with 1 to 4 channels; `chunks` precede the pixels."""
    values = values if values.ndim == 3 else values[..., None]
    height, width, channels = values.shape
    bits = values.dtype.itemsize * 8
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = values.astype(">u2" if bits == 16 else "u1").reshape(height, -1)
    pixels = b"".join(b"\0" + line.tobytes() for line in lines)
    head = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    body = ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in body
    )


def tiff(values: np.ndarray, **options: object) -> bytes:
    """Return a TIFF file; options are those of `tifffile.imwrite`."""
    file = io.BytesIO()
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def npy(values: np.ndarray, *, pickle: bool = False) -> bytes:
    """Return a .npy file."""
    file = io.BytesIO()
    np.save(file, values, allow_pickle=pickle)
    return file.getvalue()


def pgm(values: np.ndarray, largest: int) -> bytes:
    """Return a PGM or PPM file of 16 bits."""
    kind = "P6" if values.ndim == 3 else "P5"
    height, width = values.shape[:2]
    return (
        f"{kind}\n# made\n{width} {height}\n{largest}\n".encode() + values.astype(">u2").tobytes()
    )


def exif(orientation: int) -> bytes:
    """Return EXIF data that state an orientation, from the byte order mark on."""
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes().removeprefix(b"Exif\0\0")
