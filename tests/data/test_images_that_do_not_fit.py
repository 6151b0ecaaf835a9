"""Settings and images that don't go together are reported before training, by the image's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from image_files import photo, png, tiff

from sslcore.contract.reading import Reading
from sslcore.data import Data, Split
from sslcore.data.decoding import DecodingError, decoded, may_be_cut
from sslcore.data.prepare import prepared
from sslcore.errors import DataError, SettingsError, UsageError

Cache = Literal["auto", "decoded", "none"]
CACHES: tuple[Cache, ...] = ("auto", "decoded", "none")
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)


class Encoded:
    """Image files in memory."""

    fingerprint: str

    def __init__(self, files: Sequence[bytes]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def fetch(self, row: int) -> bytes:
        return self.files[row]


def data_of(*files: bytes) -> Data:
    return Data(train=Split(Encoded(files), names=[f"{row}.file" for row in range(len(files))]))


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("boxes", [False, True])
def test_channels_that_an_image_can_not_get_are_an_error_that_names_it(cache: Cache, boxes: bool):
    bands = tiff(np.zeros((24, 31, 5), dtype=np.uint8), planarconfig="contig")
    data = data_of(photo(PIXELS), photo(PIXELS), bands)
    with pytest.raises(DataError, match=r"^data.channels: 3 can't be made of the 5 .* 2\.file;"):
        prepared(data, Reading(channels=3, cache=cache), boxes=boxes)
    with pytest.raises(DataError, match=r"^data.channels: 13 can't be made of the 3 .* 0\.file;"):
        prepared(data, Reading(channels=13, cache=cache), boxes=boxes)


def test_each_of_several_splits_has_its_own_names_in_errors():
    bands = tiff(np.zeros((24, 31, 5), dtype=np.uint8), planarconfig="contig")
    test = Split(Encoded([bands]), names=["bands.tif"])
    data = Data(train=data_of(photo(PIXELS)).train, test=test)
    with pytest.raises(DataError, match=r"bands\.tif: it has 5 channels, and 3 are needed"):
        prepared(data, Reading(cache="decoded"))


@pytest.mark.parametrize("range_", [(5.0, 5.0), (200.0, 5.0)])
def test_a_range_that_is_empty_or_reversed_is_refused(range_: tuple[float, float]):
    with pytest.raises(SettingsError, match=r"data.range: expected \[low, high\] with low below"):
        Reading(range=range_)
    images = torch.zeros(2, 1, 4, 4, dtype=torch.int16)
    with pytest.raises(DataError, match="low below high"):
        Split(images, range=range_)


@pytest.mark.parametrize("cache", CACHES)
def test_an_unknown_colour_is_refused_before_an_image_is_read(cache: Cache):
    with pytest.raises(UsageError, match=r"data.background: expected a colour .*'nonsense'"):
        prepared(data_of(b"no image"), Reading(background="nonsense", cache=cache), boxes=True)
    tensors = Data(train=Split(torch.zeros(2, 1, 4, 4, dtype=torch.uint8)))
    with pytest.raises(UsageError, match=r"data.background"):
        prepared(tensors, Reading(background="nonsense"))


def test_the_size_of_a_cache_beyond_its_limit_is_never_stated_as_nothing():
    with pytest.raises(UsageError, match=r"would take 1\.7e-06 GB, and the limit is 1e-06 GB"):
        prepared(data_of(photo(PIXELS)), Reading(cache="decoded", cache_limit=1e-6))


@pytest.mark.parametrize("lines", [12, 16])
@pytest.mark.parametrize("write", [photo, png])
def test_a_file_that_is_cut_off_is_left_out_before_training_from_originals(write, lines: int):
    whole = write(PIXELS)
    data, _ = prepared(
        data_of(whole, whole[: len(whole) * lines // 24], whole), Reading(), boxes=True
    )
    assert len(data.train) == 2
    (note,) = [note for note in data.notes if "left out" in note]
    assert note.startswith("1 of 3 images can't be read and are left out: 1.file")


def test_only_a_file_without_its_end_may_be_cut_off():
    preview = photo(PIXELS[:8, :8])
    whole = photo(PIXELS, exif=b"Exif\0\0" + preview)
    assert preview in whole
    assert not may_be_cut(whole)
    # A file of a camera goes on after the image.
    assert not may_be_cut(whole + b"more")
    assert may_be_cut(whole[:-40])
    assert not may_be_cut(png(PIXELS))
    assert may_be_cut(png(PIXELS)[:-1])


def test_a_photo_that_is_whole_but_for_its_mark_of_an_end_is_kept():
    # Decoders add the mark of the end that is missing, with a warning.
    odd = photo(PIXELS) + b"\xff\xda"
    assert may_be_cut(odd)
    data, _ = prepared(data_of(photo(PIXELS), odd), Reading(), boxes=True)
    assert len(data.train) == 2


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("begin", "end"), [(0.5, 0.75), (0.3, 0.35), (0.25, 0.5)])
@pytest.mark.parametrize("byte", [b"\0", b"\xff"])
def test_a_photo_with_a_part_that_is_overwritten_is_an_error(
    progressive: bool, begin: float, end: float, byte: bytes
):
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    file = photo(noise, progressive=progressive)
    first, last = int(begin * len(file)), int(end * len(file))
    with pytest.raises(DecodingError):
        decoded(file[:first] + byte * (last - first) + file[last:])


@pytest.mark.parametrize("added", [bytes(range(1, 20)), bytes(1000)])
def test_bytes_that_cameras_add_before_the_end_of_a_photo_are_no_error(added: bytes):
    file = photo(PIXELS)
    assert torch.equal(decoded(file[:-2] + added + file[-2:]), decoded(file))


@pytest.mark.parametrize(
    ("size", "said"), [(None, "are kept in memory"), (14_000, "are decoded again in each epoch")]
)
def test_a_cache_that_can_not_be_written_is_one_note(tmp_path, monkeypatch, size, said: str):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path / "file"))
    splits = []
    for _ in range(2):
        source = Encoded([photo(PIXELS)] * 2)
        source.fingerprint = "photos"
        splits.append(Split(source))
    data, _ = prepared(Data(*splits), Reading(image_size=size, cache="decoded"))
    (note,) = [note for note in data.notes if "can't be cached" in note]
    assert said in note
    assert note.endswith("set SSLCORE_CACHE to a folder with room")


def test_the_state_of_data_changes_with_each_split_and_is_unknown_without_fingerprints():
    def state(*fingerprints: str) -> str:
        splits = []
        for fingerprint in fingerprints:
            source = Encoded([photo(PIXELS)])
            if fingerprint:
                source.fingerprint = fingerprint
            splits.append(Split(source))
        return prepared(Data(*splits), Reading(cache="none"))[0].state

    assert state("a", "b") == state("a", "b") != ""
    assert len({state("a", "b"), state("a", "c"), state("d", "b"), state("a")}) == 4
    assert state("a", "") == ""
