"""The data set that opens a path or an address, by the name of the file or what a folder holds."""

from __future__ import annotations

import os
from pathlib import Path

from sslcore.contract.interface import load_reference
from sslcore.contract.records import Dataset
from sslcore.errors import UsageError
from sslcore.registry.loading import Entry
from sslcore.registry.registry import Registry
from sslcore.system.files import user_path


def opener(named: str, registry: Registry) -> tuple[Entry, str] | None:
    """Return the data set that opens a path, and the path as its setting; None if it is no path.

    Of several data sets, the one with the most exact pattern opens the path: `.tar.gz` is more
    exact than `.gz`, and `/*.parquet` than `/`. Of equal patterns, those of data sets that ship
    come first. Where patterns are equal, `Dataset.recognizes` decides before.

    Args:
        named: what the user gave as data: a path, or an address such as `s3://bucket/table.csv`.
            A path that does not exist is one if a file ends so, or if it looks like a path.
        registry: where data sets are looked up.

    Raises:
        UsageError: the path can't be used, no data set opens it, or several do.
    """
    if "://" in named:
        return _best(_by_ending(named, registry), named, registry), named
    path = user_path(named, "--data")
    absolute = str(path.absolute())
    if path.is_dir():
        return _best(_by_content(path, registry), named, registry), absolute
    found = _by_ending(named, registry)
    if found or path.exists():
        return _best(found, named, registry), absolute
    if os.sep in named or named.startswith(("~", ".")):
        # A data set of folders reports that there is none.
        return _best(_folders(registry), named, registry), absolute
    return None


#: Patterns of data sets that open a path.
_Found = list[tuple[str, Entry]]


def _patterns(registry: Registry) -> _Found:
    return [
        (pattern, entry)
        for entry in registry.entries("dataset")
        if isinstance(entry.record, Dataset)
        for pattern in entry.record.opens
    ]


def _by_ending(named: str, registry: Registry) -> _Found:
    return [each for each in _patterns(registry) if named.lower().endswith(each[0].lower())]


def _folders(registry: Registry) -> _Found:
    return [each for each in _patterns(registry) if each[0] == "/"]


def _by_content(folder: Path, registry: Registry) -> _Found:
    within = [
        (pattern, entry)
        for pattern, entry in _patterns(registry)
        if pattern.startswith("/") and pattern != "/" and any(folder.glob(pattern[1:]))
    ]
    return within + _folders(registry)


def _best(found: _Found, named: str, registry: Registry) -> Entry:
    if not found:
        raise UsageError(f"--data {named}: no data set opens it; {_all_patterns(registry)}")
    longest = max(len(pattern) for pattern, _ in found)
    best = _recognizing([entry for pattern, entry in found if len(pattern) == longest], named)
    if len(best) > 1 and not best[0].origin.shipped:
        either = " or ".join(f"--data {entry.qualified}" for entry in best)
        raise UsageError(
            f"--data {named}: {len(best)} data sets open it; use {either}, with --set data.path="
        )
    return best[0]


def _recognizing(entries: list[Entry], named: str) -> list[Entry]:
    """Return the data sets that recognize a path; if none does, those that take any such path."""
    if len(entries) < 2:
        return entries
    records = [entry.record for entry in entries]
    functions = [record.recognizes for record in records if isinstance(record, Dataset)]
    pairs = list(zip(entries, functions, strict=True))
    sure = [entry for entry, function in pairs if function and load_reference(function)(named)]
    return sure or [entry for entry, function in pairs if not function] or entries


def _all_patterns(registry: Registry) -> str:
    patterns = dict.fromkeys(pattern for pattern, _ in _patterns(registry))
    endings = [pattern for pattern in patterns if pattern.startswith(".")]
    opened = ["folders"] if any(pattern.startswith("/") for pattern in patterns) else []
    if endings:
        opened.append(f"files that end in {' '.join(endings)}")
    return f"data sets open {' and '.join(opened) or 'no paths'}"
