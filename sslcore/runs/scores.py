"""`evaluation.json`: the figures of a run, each with how it was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from sslcore.errors import RunFolderError
from sslcore.system.files import to_json, write_safely

#: The key beside the columns: by metric, how it was measured.
DETAILS = "details"

#: By column and metric.
Scores = Mapping[str, Mapping[str, float]]
#: By metric: evaluator, its settings, numbers of images, seed, step, data and date.
Details = dict[str, dict[str, object]]


def read_scores(path: Path) -> tuple[dict[str, dict[str, float]], Details]:
    """Return the figures in a file and their details; both are empty if there is no file.

    Raises:
        RunFolderError: the file can't be read, or is not a table of numbers.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, {}
    except OSError as error:
        raise RunFolderError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        found = None
    details = found.pop(DETAILS, {}) if isinstance(found, dict) else {}
    if not _is_table(found) or not isinstance(details, dict):
        raise RunFolderError(
            f"{path} is not a table of numbers; the next evaluation writes it anew"
        )
    table = {
        column: {name: math.nan if value is None else value for name, value in metrics.items()}
        for column, metrics in found.items()
    }
    return table, {name: item for name, item in details.items() if isinstance(item, dict)}


def add_scores(path: Path, table: Scores, details: Details) -> str:
    """Add figures to a file; they replace those that were measured in the same way.

    A figure of the same name that was measured with other settings of its evaluator is kept, and
    the new one gets the settings that differ into its name: `knn_top1 [k=1]`.

    Returns:
        A note for the user if earlier figures could not be kept; otherwise an empty string.
    """
    note = ""
    try:
        merged, described = read_scores(path)
    except RunFolderError:
        merged, described = {}, {}
        note = f"{path} was not a table of numbers and has been replaced"
    names = {name: _name(name, details.get(name, {}), described) for name in _metrics(table)}
    for column, metrics in table.items():
        kept = merged.setdefault(column, {})
        kept.update({names[name]: value for name, value in metrics.items()})
    described |= {names[name]: dict(item) for name, item in details.items()}
    write_safely(path, to_json(merged | {DETAILS: described}, indent=2) + "\n")
    return note


def _metrics(table: Scores) -> list[str]:
    return list(dict.fromkeys(name for metrics in table.values() for name in metrics))


def _name(name: str, details: Mapping[str, object], described: Details) -> str:
    """Return the name of a figure: with settings, where a figure with other ones has the name."""
    spread = "_std" if name.endswith("_std") and f"{name[:-4]}" in described else ""
    before = described.get(name.removesuffix(spread), {}).get("settings")
    now = details.get("settings")
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return name
    changed = [f"{key}={value}" for key, value in now.items() if before.get(key) != _plain(value)]
    return f"{name.removesuffix(spread)} [{', '.join(changed)}]{spread}" if changed else name


def _plain(value: object) -> object:
    """Return a value as JSON has it: a tuple is a list there."""
    return json.loads(to_json(value))


def _is_table(value: object) -> bool:
    """Whether a value is `{column: {metric: number}}`; null is a number that is not finite."""
    return isinstance(value, dict) and all(
        isinstance(metrics, dict)
        and all(item is None or type(item) in (int, float) for item in metrics.values())
        for metrics in value.values()
    )
