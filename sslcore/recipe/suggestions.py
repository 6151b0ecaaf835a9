"""The settings that a data set suggests to a part, by its name."""

from __future__ import annotations

from sslcore.contract.records import Dataset
from sslcore.errors import UsageError
from sslcore.registry.loading import Entry
from sslcore.registry.registry import Registry


def suggested_to(entry: Entry, dataset: Dataset, registry: Registry) -> dict[str, object]:
    """Return the settings that a data set suggests to a part.

    A bare name means the part that a user gets by it, so a part of another plugin with the same
    name gets none of them.
    """
    found: dict[str, object] = {}
    for address in entry.addresses:
        values = dataset.defaults.get(f"{entry.kind}:{address}")
        if values is not None and _is(entry, address, registry):
            found |= values
    return found


def _is(entry: Entry, address: str, registry: Registry) -> bool:
    try:
        return registry.resolve(entry.kind, address) == entry
    except UsageError:
        # Several plugins offer the name.
        return False
