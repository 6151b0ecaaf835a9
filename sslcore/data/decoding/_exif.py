"""The orientation of a photo, from its EXIF data."""

from __future__ import annotations

import struct

_TAG = 0x0112
_SHORT = 3


def orientation_of(exif: bytes) -> int:
    """Return the orientation, 1 to 8, that EXIF data state; 1 where they state none.

    Args:
        exif: from the byte order mark on ("II" or "MM"). Damaged data state nothing: they say
            nothing about the pixels.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == _TAG:
                (value,) = struct.unpack_from(f"{order}H", exif, entry + 8)
                return value if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
