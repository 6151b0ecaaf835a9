"""The Parquet and Arrow files of a data set, by split."""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sslcore.errors import DataError, first_line, nearest
from sslcore.system.printable import one_line

#: Endings of the names of the files that are read.
ENDINGS = (".parquet", ".arrow")
#: Words in names of files and folders that name a split, as the hub takes them.
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
#: `train-00000-of-00005`: what stands before the numbers is the name of the split.
_SHARD = re.compile(r"(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}\b")

#: Files by split, in order.
Splits = dict[str, list[Path]]


def local_files(root: Path, config: str) -> tuple[Splits, tuple[str, ...]]:
    """Return the files of a data set on disk, and notes.

    Args:
        root: a file, a folder of files, or one written by `save_to_disk`.
        config: the folder in it that holds the files, or empty.

    Raises:
        DataError: there are no such files, or its description is damaged.
    """
    if root.is_file():
        if root.suffix.lower() not in ENDINGS:
            raise DataError(f"{root} is no Parquet or Arrow file; expected {' or '.join(ENDINGS)}")
        return {_split_of(Path(root.name)) or "train": [root]}, ()
    if config:
        root = _of_config(root, config)
    if (root / "dataset_dict.json").is_file():
        return {name: _saved(root / name) for name in _split_names(root)}, ()
    if (root / "state.json").is_file():
        return {"train": _saved(root)}, ()
    found = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in ENDINGS and path.is_file() and not _hidden(path, root)
    )
    if not found:
        raise DataError(f"{root} holds no Parquet or Arrow files ({' '.join(ENDINGS)})")
    return _by_split(root, found)


def _of_config(root: Path, config: str) -> Path:
    folder = root / config
    if not folder.is_dir():
        known = [path.name for path in root.iterdir() if path.is_dir()]
        raise DataError(f"data.config: {root} has no folder {config!r}{nearest(config, known)}")
    return folder


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _by_split(root: Path, files: Iterable[Path]) -> tuple[Splits, tuple[str, ...]]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        groups[_split_of(path.relative_to(root))].append(path)
    nameless = groups.pop("", [])
    if not groups:
        return {"train": nameless}, ()
    if not nameless:
        return dict(groups), ()
    note = (
        f"{len(nameless)} files whose names name no split are left out, such as "
        f"{nameless[0].relative_to(root)}"
    )
    return dict(groups), (note,)


def _split_of(path: Path) -> str:
    """Return the split that a file's name or one of its folders names, or an empty string."""
    shard = _SHARD.match(path.name)
    if shard:
        return shard["split"]
    for part in reversed((*path.parent.parts, path.stem)):
        words = re.split(r"[^a-z]+", part.lower())
        for split, names in _WORDS.items():
            if any(name in words for name in names):
                return split
    return ""


def _split_names(root: Path) -> list[str]:
    described = _json(root / "dataset_dict.json").get("splits")
    if not isinstance(described, list) or not described:
        raise DataError(f"{root / 'dataset_dict.json'} names no splits; save the data set again")
    return [str(name) for name in described]


def _saved(folder: Path) -> list[Path]:
    described = _json(folder / "state.json").get("_data_files")
    entries = described if isinstance(described, list) else []
    names = [entry.get("filename") for entry in entries if isinstance(entry, dict)]
    files = [folder / Path(name).name for name in names if isinstance(name, str)]
    if not files:
        raise DataError(f"{folder / 'state.json'} names no files; save the data set again")
    return files


def _json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read: {first_line(error)}") from error
    return content if isinstance(content, dict) else {}


def hub_files(name: str, config: str) -> Splits:
    """Return the files of a data set of the hub, which are downloaded if need be.

    Raises:
        DataError: the library is missing, or it can't get the data set.
    """
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"data.path: there is no file or folder {name}, and data sets of the hub need the "
            "package datasets: pip install 'sslcore[huggingface]'"
        ) from None
    try:
        with _without_retries_shown():
            loaded = datasets.load_dataset(name, config or None)
    # The library raises its own errors, those of its client, and those of the network.
    except Exception as error:
        raise DataError(
            f"data.path: there is no file or folder {name}, and the hub has no data set of this "
            f"name, or can't be reached: {one_line(first_line(error))}"
        ) from error
    return {
        str(split): [Path(entry["filename"]) for entry in part.cache_files]
        for split, part in loaded.items()
    }


@contextmanager
def _without_retries_shown() -> Iterator[None]:
    """Keep the client of the hub from printing each try; the error says what happened."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
