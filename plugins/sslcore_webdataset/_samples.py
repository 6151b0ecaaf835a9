"""The samples of a shard, gathered from the members of its archive."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from sslcore.data.holding_out import HASH, hashed
from sslcore.errors import DataError
from sslcore.system.printable import one_line
from sslcore_webdataset._index import Remarks, Shard, ShardIndex, Wanted
from sslcore_webdataset._tar import BadArchiveError, CutOffError, Member, Window, members

#: Endings of image files; `.npy` is one where a sample has no other.
_IMAGES = frozenset(
    (
        *(b"jpg", b"jpeg", b"png", b"bmp", b"gif", b"webp", b"tif", b"tiff"),
        *(b"ppm", b"pgm", b"pbm", b"pnm"),
    )
)
_ARRAY, _CLASS, _JSON = b"npy", b"cls", b"json"
#: The longest label, and the longest description, bytes.
_LONGEST = {_CLASS: 2**12, _JSON: 2**24}
_LARGEST = 2**32 - 1


class _Image(NamedTuple):
    name: bytes
    start: int
    size: int
    ending: bytes


def samples_of(shard: Shard, window: Window, wanted: Wanted) -> ShardIndex:
    """Return the samples of a shard; where it is cut off, those before.

    Raises:
        DataError: it is damaged or no tar archive, or a sample can't be used.
        SourceError: it can't be read.
    """
    gathered = _Gathered(shard, window, wanted)
    cut = ""
    try:
        for member in members(window):
            gathered.add(member)
    except CutOffError as error:
        key, _ = _parted(error.name)
        gathered.drop(key)
        cut = str(error)
    except BadArchiveError as error:
        raise DataError(_damaged(shard, error)) from error
    return gathered.index(cut)


def _damaged(shard: Shard, error: BadArchiveError) -> str:
    if str(error) == "it is compressed":
        return compressed(shard.path)
    what = "copy it again, or write it anew"
    return f"{shard.path} can't be read as a tar archive ({error}); {what}"


def compressed(path: str) -> str:
    """Return the message about a shard that is compressed."""
    return (
        f"{path} is compressed, so single images can't be read from it; unpack the archive "
        "(gzip -d, for .tar.gz) and open the .tar"
    )


def _parted(name: bytes) -> tuple[bytes, bytes]:
    """Return the key of a sample and the ending: what is before and after the first dot.

    The ending is in lower case. Of hidden files, and of files without an ending, it is empty.
    """
    folder, slash, file = name.rpartition(b"/")
    stem, _, ending = file.partition(b".")
    return (folder + slash + stem, ending.lower()) if stem else (name, b"")


class _Gathered:
    """The samples found so far."""

    def __init__(self, shard: Shard, window: Window, wanted: Wanted) -> None:
        self.shard, self.window, self.wanted = shard, window, wanted
        self.chosen = None if wanted.image is None else wanted.image.lower().lstrip(".").encode()
        self.label_ending = {None: _CLASS, "": b""}.get(wanted.label, _JSON)
        self.images: dict[bytes, _Image] = {}
        self.labels: dict[bytes, str] = {}
        #: Samples in the order of their first member; whether a description was seen.
        self.keys: dict[bytes, None] = {}
        self.left_out: list[bytes] = []
        self.json_keys: tuple[str, ...] = ()

    def add(self, member: Member) -> None:
        """Take what is needed of a member."""
        name = member.name.removeprefix(b"./")
        key, ending = _parted(name)
        if not ending:
            return
        is_image = self._is_image(ending)
        is_label = ending == self.label_ending
        if not member.whole:
            if is_image or is_label:
                self.left_out.append(name)
            return
        self.keys[key] = None
        if is_image:
            self._add_image(key, _Image(name, member.start, member.size, ending))
        elif is_label:
            if key in self.labels:
                raise self._problem(key, f"has two .{ending.decode()}; keep one of them")
            if (label := self._label(key, member, ending)) is not None:
                self.labels[key] = label
        elif ending == _JSON and not self.json_keys:
            self.json_keys = self._keys_of(member)

    def _is_image(self, ending: bytes) -> bool:
        if self.chosen is not None:
            return ending == self.chosen
        last = ending.rpartition(b".")[2]
        return last in _IMAGES or last == _ARRAY

    def _add_image(self, key: bytes, image: _Image) -> None:
        if image.size > _LARGEST:
            raise self._problem(key, "has an image of over 4 GB")
        before = self.images.get(key)
        if before is None:
            self.images[key] = image
            return
        arrays = [each.ending.endswith(_ARRAY) for each in (before, image)]
        if arrays == [True, False]:
            self.images[key] = image
        elif arrays != [False, True]:
            raise self._problem(key, self._two(before, image))

    def _two(self, before: _Image, image: _Image) -> str:
        if before.ending == image.ending:
            return f"is there twice, with two .{_text(image.ending)}; keep one of them"
        one, other = _text(before.ending), _text(image.ending)
        return (
            f"has two images, .{one} and .{other}; --set data.image={one} takes one of them in "
            "each sample"
        )

    def _label(self, key: bytes, member: Member, ending: bytes) -> str | None:
        if member.size > _LONGEST[ending]:
            raise self._problem(key, f"has a .{ending.decode()} of {member.size} bytes")
        content = self.window.at(member.start, member.size)
        try:
            text = content.decode("utf-8-sig")
            if ending == _CLASS:
                return text.strip() or None
            description = json.loads(text)
        except ValueError as error:
            raise self._problem(key, f"has a .{ending.decode()} that can't be read") from error
        assert self.wanted.label is not None
        if not isinstance(description, dict):
            raise self._problem(key, "has a .json that is no object of keys and values")
        self.json_keys = self.json_keys or tuple(map(str, description))
        return self._json_label(key, description.get(self.wanted.label))

    def _json_label(self, key: bytes, value: object) -> str | None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or isinstance(value, (str, int)):
            return None if value is None else str(value).strip() or None
        got = one_line(json.dumps(value))[:80]
        raise self._problem(
            key,
            f"has {got} as {self.wanted.label} in its .json; expected a text or a whole number",
        )

    def _keys_of(self, member: Member) -> tuple[str, ...]:
        """Return the keys of a description that no label is taken from."""
        if member.size > _LONGEST[_JSON]:
            return ()
        try:
            description = json.loads(self.window.at(member.start, member.size))
        except ValueError:
            return ()
        return tuple(map(str, description)) if isinstance(description, dict) else ()

    def _problem(self, key: bytes, problem: str) -> DataError:
        return DataError(f"{self.shard.path}: the sample {_text(key)} {problem}")

    def drop(self, key: bytes) -> None:
        """Leave out a sample, of which not all members are there."""
        for found in (self.images, self.labels, self.keys):
            found.pop(key, None)

    def index(self, cut: str) -> ShardIndex:
        """Return what was found.

        Args:
            cut: where and how the shard ends too early; empty if it does not.
        """
        without = [key for key in self.keys if key not in self.images]
        images = [self.images[key] for key in self.keys if key in self.images]
        texts = sorted(set(self.labels.values()))
        number = {text: place for place, text in enumerate(texts)}
        labels = [
            number[self.labels[key]] if key in self.labels else -1
            for key in self.keys
            if key in self.images
        ]
        hashes = b"".join(hashed(image.name) for image in images)
        return ShardIndex(
            names=np.frombuffer(b"".join(image.name for image in images), dtype=np.uint8),
            ends=np.cumsum([len(image.name) for image in images], dtype=np.int64),
            hashes=np.frombuffer(hashes, dtype=HASH).astype(np.uint64),
            starts=np.array([image.start for image in images], dtype=np.int64),
            sizes=np.array([image.size for image in images], dtype=np.uint32),
            labels=np.array(labels, dtype=np.int32),
            texts=tuple(texts),
            remarks=Remarks(
                cut=cut,
                without_image=len(without),
                first_without=_text(without[0]) if without else "",
                left_out=len(self.left_out),
                first_left_out=_text(self.left_out[0]) if self.left_out else "",
                json_keys=self.json_keys,
            ),
        )


def _text(name: bytes) -> str:
    """Return a name as text, with what is none in it escaped."""
    return one_line(name.decode(errors="backslashreplace"))
