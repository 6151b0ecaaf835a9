"""The page of the papers' recipes lists what the presets of the methods set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sslcore.api import make_recipe
from sslcore.recipe.recipe import settings_by_name
from sslcore.registry.registry import default_registry

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
#: The columns of the tables that quote a preset.
PRESETS = {"224px": 2, "32px": 4}


def sections():
    """Return the rows of each method's table, as cells."""
    found = {}
    for text in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        method = re.search(r"`--method (\S+)`", text)
        lines = [line for line in text.splitlines() if line.startswith("| `")]
        found[method[1]] = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return found


def shown(value):
    """Return a value as the page shows it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_of(method, preset):
    settings = {"training": {"preset": preset}}
    recipe, _ = make_recipe(method, data="cifar10", settings=settings)
    return settings_by_name(recipe.to_dict())


def test_every_shipped_method_with_presets_of_papers_has_a_table():
    methods = [entry for entry in default_registry().entries("method") if entry.origin.shipped]
    with_presets = {
        entry.name
        for entry in methods
        if PRESETS.keys() <= {preset.name for preset in entry.record.presets}
    }
    assert with_presets == sections().keys()
    assert len(with_presets) >= 9


@pytest.mark.parametrize("method", sections())
@pytest.mark.parametrize("preset", PRESETS)
def test_the_table_quotes_the_preset(method, preset):
    settings = settings_of(method, preset)
    rows = sections()[method]
    assert len(rows) > 10
    for row in rows:
        name, quoted = row[0].strip("`"), row[PRESETS[preset]].strip("`")
        assert quoted == (shown(settings[name]) if name in settings else ""), name


@pytest.mark.parametrize("method", sections())
def test_the_table_leaves_out_nothing_that_a_preset_sets(method):
    record = default_registry().resolve("method", method).record
    named = {row[0].strip("`") for row in sections()[method]}
    named |= {f"{row[0].strip('`')}.name" for row in sections()[method]}
    # What all of them have is said once, above the tables.
    common = {"optimizer.momentum", "optimizer.bias", "optimizer.norm", "augmentation.blur"}
    for preset in record.presets:
        if preset.name not in PRESETS:
            continue
        for sections_of in (preset.settings, preset.defaults):
            for section, values in sections_of.items():
                for name, value in values.items():
                    setting = f"{section}.{name}"
                    nested = [f"{setting}.{each}" for each in value] if type(value) is dict else []
                    assert setting in named | common or named & set(nested), setting


@pytest.mark.parametrize("method", sections())
def test_the_rate_is_stated_for_a_number_of_images_and_follows_the_batch(method):
    for preset in PRESETS:
        assert settings_of(method, preset)["optimizer.lr_per"] == 256
