"""The form that images have in common, found in their headers and a sample of their values."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sslcore.contract.reading import Reading
from sslcore.data.cache import digest
from sslcore.data.decoding import VERSION, Header, codecs, decoded, header_of, may_be_cut
from sslcore.data.form import Form, convertible
from sslcore.data.originals import in_threads
from sslcore.data.sources import EncodedImages, Images
from sslcore.errors import DataError, RunFolderError, SourceError
from sslcore.system.cache import cache_directory
from sslcore.system.files import replacing

#: Side given to images that differ in size, px, unless they are smaller.
_USUAL_SIDE = 96
#: The largest side that images keep because they all have it, px.
_LARGEST_KEPT = 256
#: Images whose headers are read; of more, as many, evenly spread.
_SURVEYED = 10_000
#: Number of images without a header before that are tried again at each start.
_RETRIED = 16
#: Images in which the range of values is looked for, and values of each.
_SAMPLED, _VALUES = 64, 4096
#: Percentiles that become 0 and 1.
_PERCENTILES = (0.1, 99.9)
#: Integers that begin below this part of their range are taken to begin at 0.
_NEAR_ZERO = 0.1


#: A line of a file of headers; a height of 0 stands for no header.
_COLUMNS = [
    *((name, np.int64) for name in ("row", "height", "width", "channels")),
    ("dtype", "U8"),
    ("alpha", np.bool_),
]


@dataclass(frozen=True)
class Survey:
    """What the headers of a source say.

    Attributes:
        rows: the rows that were looked at, (M,).
        headers: their headers; None where there is none that can be read.
        complete: whether these are all rows.
    """

    rows: tuple[int, ...]
    headers: tuple[Header | None, ...]
    complete: bool

    @classmethod
    def of(cls, source: Images | EncodedImages) -> Survey:
        """Read the headers of a source, or of rows spread over it where it is large.

        They are kept in the cache directory, for sources with a fingerprint.
        """
        count = len(source)
        file = _file(source)
        kept = None if file is None else cls._load(file, count)
        # Images may have been missing for a while, which a fingerprint does not always show.
        if kept is not None and not any(
            in_threads(lambda row: _header(source, row), kept.unreadable[:_RETRIED])
        ):
            return kept
        limit = _SURVEYED if isinstance(source, EncodedImages) else _SAMPLED
        rows = tuple(
            dict.fromkeys(np.linspace(0, count - 1, min(count, limit)).round().astype(int).tolist())
        )
        headers = in_threads(lambda row: _header(source, row), rows)
        made = cls(rows, tuple(headers), len(rows) == count)
        if file is not None and made.readable:
            made._store(file)
        return made

    @classmethod
    def _load(cls, file: Path, count: int) -> Survey | None:
        try:
            table = np.load(file, allow_pickle=False)
            headers = tuple(Header(*header) if header[0] else None for _, *header in table.tolist())
            return cls(tuple(table["row"].tolist()), headers, len(table) == count)
        except (OSError, ValueError, EOFError, KeyError, TypeError):
            return None

    def _store(self, file: Path) -> None:
        nothing = Header(0, 0, 0, "")
        rows = zip(self.rows, self.headers, strict=True)
        table = np.array([(row, *(header or nothing)) for row, header in rows], dtype=_COLUMNS)
        # What can't be kept is read again the next time.
        with suppress(OSError, RunFolderError):
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as temporary, temporary.open("wb") as opened:
                np.save(opened, table, allow_pickle=False)

    @property
    def unreadable(self) -> tuple[int, ...]:
        """The rows without a header."""
        return tuple(
            row for row, header in zip(self.rows, self.headers, strict=True) if header is None
        )

    @property
    def readable(self) -> list[Header]:
        """The headers that there are."""
        return [header for header in self.headers if header is not None]


def _file(source: Images | EncodedImages) -> Path | None:
    fingerprint = getattr(source, "fingerprint", None)
    if fingerprint is None:
        return None
    with suppress(OSError):
        return (
            cache_directory() / "headers" / f"{digest(f'{VERSION} {codecs()} {fingerprint}')}.npy"
        )
    return None


def _header(source: Images | EncodedImages, row: int) -> Header | None:
    try:
        if isinstance(source, EncodedImages):
            data = source.fetch(row)
            header = header_of(data)
            if may_be_cut(data):
                # Else training would stop at this image.
                decoded(data)
            return header
        image = source.read([row])[0]
    except SourceError:
        raise
    except (OSError, DataError):
        return None
    channels, height, width = image.shape[-3:]
    return Header(height, width, channels, str(image.dtype).removeprefix("torch."))


def common_size(headers: Sequence[Header]) -> tuple[int, bool]:
    """Return the side that suits images with these headers, and whether all of them have it.

    The side is the images' own if they are all the same square of up to 256 px; otherwise the
    median of their short sides, but no more than 96 px.
    """
    sides = {(header.height, header.width) for header in headers}
    height, width = next(iter(sides))
    if len(sides) == 1 and width == height <= _LARGEST_KEPT:
        return width, True
    short = statistics.median_low(min(header.height, header.width) for header in headers)
    return min(short, _USUAL_SIDE), False


def _channels(reading: Reading, survey: Survey, name_of: Callable[[int], str]) -> int:
    """Return the number of channels that the images get.

    Raises:
        DataError: some can't get it; the message names one.
    """
    wanted = common_channels(survey.readable) if reading.channels == "auto" else reading.channels
    for row, header in zip(survey.rows, survey.headers, strict=True):
        if header is not None and not convertible(header.channels, wanted):
            raise DataError(
                f"data.channels: {wanted} can't be made of the {header.channels} channels of "
                f"{name_of(row)}; only grey and colour images can be turned into each other"
            )
    return wanted


def common_channels(headers: Sequence[Header]) -> int:
    """Return the number of channels: 1 if all are grey, 3 if some are in colour, or their own.

    Raises:
        DataError: the numbers can't be reconciled.
    """
    counts = Counter(header.channels for header in headers)
    if set(counts) <= {1, 3}:
        return max(counts)
    if len(counts) > 1:
        said = ", ".join(f"{number} of {channels}" for channels, number in sorted(counts.items()))
        raise DataError(
            f"the images differ in their number of channels ({said}); give images of one number"
        )
    return next(iter(counts))


def form_of(
    reading: Reading,
    survey: Survey,
    source: Images | EncodedImages,
    range_: tuple[float, float] | None,
    name_of: Callable[[int], str] = "image {}".format,
) -> tuple[Form, list[str]]:
    """Return the form for the images of a source, and notes on what it does to them.

    Args:
        reading: what the user chose.
        survey: the headers; at least one can be read.
        source: where the images are.
        range_: the range that the data set states, if it does.
        name_of: returns the name of a row, for messages.

    Raises:
        DataError: the images can't be brought into one form.
    """
    headers, notes = survey.readable, []
    size = reading.image_size or common_size(headers)[0]
    own = max(header.channels for header in headers)
    channels = _channels(reading, survey, name_of)
    if {own, channels} == {1, 3}:
        notes.append(
            f"{'colour is' if own == 3 else 'grey images are'} turned into "
            f"{'grey' if own == 3 else 'colour'} (data.channels={channels})"
        )
    kinds = Counter(header.dtype for header in headers)
    found = reading.range or range_
    if set(kinds) != {"uint8"} and found is None:
        wide = [
            row
            for row, header in zip(survey.rows, survey.headers, strict=True)
            if header is not None and header.dtype != "uint8"
        ]
        found, note = range_of(_values(source, wide, reading.background))
        notes.append(note)
    transparent = sum(header.alpha for header in headers)
    if transparent:
        notes.append(
            f"{transparent:,} of {len(headers):,} images have transparency; it becomes "
            f"{reading.background} (data.background is the colour)"
        )
    if "uint8" in kinds and len(kinds) > 1:
        said = ", ".join(f"{number:,} of {kind}" for kind, number in kinds.most_common())
        notes.append(
            f"the images differ in their type of values ({said}); 8 bits are scaled by 255 and "
            "the others by their range: if classes differ in the type, brightness tells them apart"
        )
    scale_bytes = reading.scale_bytes
    if scale_bytes is None:
        # Among others, images of 8 bits keep their own range; so does a run that goes on.
        scale_bytes = set(kinds) == {"uint8"}
    if set(kinds) == {"uint8"} and not scale_bytes:
        found = None
    form = Form(
        size,
        channels,
        found,
        scales_bytes=scale_bytes,
        background=reading.background,
    )
    return form, notes


def range_of(values: np.ndarray) -> tuple[tuple[float, float], str]:
    """Return the range of a sample of values, and a note that states it.

    Integers that begin near 0 range from 0 to 2^b - 1, where b bits hold 99.9 % of the values.
    Other values range from their 0.1 to their 99.9 percentile.

    Raises:
        DataError: all values are equal, or some are not finite.
    """
    if not np.isfinite(values).all():
        raise DataError("some values are not finite; --set data.range=[low,high] states the range")
    low, high = (float(value) for value in np.percentile(values, _PERCENTILES))
    whole = np.issubdtype(values.dtype, np.integer)
    if whole and 0 <= low <= _NEAR_ZERO * high:
        found = (0.0, float(2 ** max(1, int(np.ceil(high)).bit_length()) - 1))
    elif not whole and low >= 0 and high <= 1:
        found = (0.0, 1.0)
    elif low < high:
        found = (low, high)
    else:
        raise DataError(
            f"nearly all values are {low:g}, so their range is not known; "
            "--set data.range=[low,high] states it"
        )
    return found, (
        f"values from {found[0]:g} to {found[1]:g} become 0 to 1 (found in a sample; "
        "--set data.range=[low,high] states another range)"
    )


def _values(source: Images | EncodedImages, rows: Sequence[int], background: str) -> np.ndarray:
    """Return a sample of the values of some rows, of those that can be read.

    Raises:
        DataError: none can be read.
    """
    chosen = [
        rows[place]
        for place in np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLED)).round().astype(int)
    ]

    def some(row: int) -> np.ndarray | None:
        try:
            image: Tensor = (
                decoded(source.fetch(row), background=background)
                if isinstance(source, EncodedImages)
                else source.read([row])[0]
            )
        except SourceError:
            raise
        except (OSError, DataError):
            return None
        flat = image.reshape(-1)
        places = torch.linspace(0, len(flat) - 1, min(len(flat), _VALUES)).round().long()
        chosen: np.ndarray = flat.contiguous().numpy()[places.numpy()]
        return chosen

    found = [values for values in in_threads(some, chosen) if values is not None]
    if not found:
        raise DataError(
            "the range of the values is not known, since no image of a sample can be read; "
            "--set data.range=[low,high] states it"
        )
    return np.concatenate(found)
