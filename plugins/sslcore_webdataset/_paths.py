"""The shards that a path names, and the split that each belongs to."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from sslcore.errors import DataError
from sslcore.system.addresses import is_address, matching_addresses
from sslcore.system.printable import one_line
from sslcore_webdataset._samples import compressed

#: Endings of archives that are compressed.
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
#: Words in names of files and folders that name a split.
_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
}
#: A range in braces, and the most shards that a path may name.
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 10**6
#: Images in a folder of shards that make it a folder of images; files that are looked at.
_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
_LOOKED_AT = 1000


def shards_of(path: str) -> list[str]:
    """Return the shards that a path names, in order.

    Args:
        path: a `.tar`, a folder of these, a pattern with `*`, or one with braces, such as
            `train-{000..009}.tar` or `{train,test}-*.tar`.

    Raises:
        DataError: it names nothing, or something else than shards.
    """
    if not path.strip():
        raise DataError("data.path is empty; name .tar files or their folder")
    if is_address(path):
        folder = not path.lower().endswith((".tar", *_COMPRESSED))
        return _named(f"{path.rstrip('/')}/*.tar" if folder else path, path)
    try:
        here = Path(path).expanduser()
        if here.is_dir():
            return _in_folder(here)
        literal = here.exists() and not _is_compressed(path)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"data.path: {one_line(path)[:80]} can't be opened ({error})") from error
    return [str(here)] if literal else _named(str(here), path)


def _named(pattern: str, path: str) -> list[str]:
    """Return the files that a pattern names."""
    found: list[str] = []
    for each in islice(_expanded(pattern), _MOST + 1):
        found += _globbed(each) if glob.has_magic(each) else [each]
    if len(found) > _MOST:
        raise DataError(f"data.path: {path} names over {_MOST:,} shards")
    for each in found:
        if _is_compressed(each):
            raise DataError(compressed(each))
    if not found:
        raise DataError(f"data.path: {path} matches no file; expected .tar files")
    missing = [each for each in found if not is_address(each) and not Path(each).exists()]
    if missing and len(found) == 1:
        raise DataError(f"data.path: {missing[0]} does not exist; expected a .tar file")
    if len(missing) == len(found):
        raise DataError(
            f"data.path: {path} matches no file: none of its {len(found)} shards exists, such as "
            f"{missing[0]}"
        )
    if missing:
        raise DataError(
            f"data.path: {len(missing)} of the {len(found)} shards of {path} do not exist; the "
            f"first is {missing[0]}"
        )
    name, times = Counter(found).most_common(1)[0]
    if times > 1:
        raise DataError(f"data.path: {path} names {name} twice")
    return found


def _globbed(pattern: str) -> list[str]:
    if is_address(pattern):
        return matching_addresses(pattern)
    path = Path(pattern).absolute()
    return sorted(map(str, Path(path.anchor).glob(str(path.relative_to(path.anchor)))))


def _is_compressed(path: str) -> bool:
    return path.lower().endswith(_COMPRESSED)


def _expanded(pattern: str) -> Iterator[str]:
    """Yield what a pattern with braces stands for, as in a shell."""
    for start, end in _braces(pattern):
        if choices := _choices(pattern[start + 1 : end]):
            for choice in choices:
                for own in _expanded(choice):
                    for rest in _expanded(pattern[end + 1 :]):
                        yield pattern[:start] + own + rest
            return
    yield pattern


def _braces(pattern: str) -> Iterator[tuple[int, int]]:
    """Yield the places of each opening brace and of the one that closes it."""
    for start in (place for place, each in enumerate(pattern) if each == "{"):
        depth = 0
        for end in range(start, len(pattern)):
            depth += {"{": 1, "}": -1}.get(pattern[end], 0)
            if not depth:
                yield start, end
                break


def _choices(text: str) -> list[str]:
    """Return what the content of braces stands for; nothing if it is plain text."""
    ends = _RANGE.fullmatch(text)
    if ends is None:
        parts, depth = [""], 0
        for each in text:
            depth += {"{": 1, "}": -1}.get(each, 0)
            if each == "," and not depth:
                parts.append("")
            else:
                parts[-1] += each
        return parts if parts[1:] else []
    first, last = int(ends[1]), int(ends[2])
    padded = "0" in (ends[1][0], ends[2][0]) and len(ends[1]) == len(ends[2])
    width = len(ends[1]) if padded else 0
    step = 1 if first <= last else -1
    return [f"{number:0{width}}" for number in range(first, last + step, step)[: _MOST + 1]]


def _in_folder(folder: Path) -> list[str]:
    """Return the shards in a folder and in its folders of splits."""
    try:
        here = sorted(folder.iterdir())
        parts = [each for each in here if each.name.lower() in _WORDS and each.is_dir()]
        files = here + [file for part in parts for file in sorted(part.iterdir())]
    except OSError as error:
        raise DataError(f"{error.filename} can't be listed: {error.strerror}") from error
    files = [file for file in files if not file.name.startswith(".")]
    found = [file for file in files if file.suffix.lower() == ".tar"]
    if not found:
        packed = next((file for file in files if _is_compressed(file.name)), None)
        if packed is not None:
            raise DataError(compressed(str(packed)))
        raise DataError(f"data.path: {folder} holds no .tar files")
    if (image := _image_below(folder)) is not None:
        raise DataError(
            f"{folder} holds .tar files and also images, such as {one_line(image)}: --data "
            f"'{folder}/*.tar' opens the shards, and --data folder --set data.path={folder} opens "
            "the images"
        )
    return list(map(str, found))


def _image_below(folder: Path) -> str | None:
    """Return an image in a folder or below, if there is one among the first files."""
    seen = 0
    for above, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(_IMAGES) and not name.startswith("."):
                return str((Path(above) / name).relative_to(folder))
        seen += len(names) + 1
        if seen > _LOOKED_AT:
            break
    return None


def splits_of(paths: Sequence[str]) -> tuple[dict[str, list[int]], str]:
    """Return the numbers of the shards to train on and to test on, and a note.

    The names of files and of the folders that not all shards share name the splits. Where only
    one of train and test is named, all shards are `train`.

    Args:
        paths: of the shards.

    Returns:
        `train`, and `test` or `val` or both if there are any; and what is left out.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    folders = [path.split("/")[:-1] for path in paths]
    levels = [len(set(names)) == 1 for names in zip(*folders, strict=False)]
    shared = [*levels, False].index(False)
    for number, path in enumerate(paths):
        groups[_split_of(path.split("/")[shared:])].append(number)
    if "train" not in groups or not {"test", "val"} & set(groups):
        return {"train": list(range(len(paths)))}, ""
    others = groups.pop("", [])
    note = ""
    if others:
        name = paths[others[0]].rpartition("/")[2]
        note = f"{len(others)} shards whose names name no split are left out; the first is {name}"
    return dict(groups), note


def _split_of(parts: Sequence[str]) -> str:
    """Return the split that a file's name, or one of its folders, names; or an empty text."""
    for part in reversed(parts):
        for word in re.findall(r"[a-z]+", part.lower()):
            if word in _WORDS:
                return _WORDS[word]
    return ""
