"""The preset of a method that a request stands for, and the method with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sslcore.contract.records import Dataset, Method, Preset, Sections
from sslcore.contract.records.preset import AUTO, NO_PRESET
from sslcore.errors import UsageError, nearest
from sslcore.recipe.recipe import FROM
from sslcore.recipe.request import Request


def with_preset(
    method: Method, request: Request, dataset: Dataset, image_size: int | None
) -> tuple[Method, str, tuple[str, ...]]:
    """Return a method with the preset that a request stands for, its name, and notes.

    The name is "auto" while the size of the images decides and is not known; the method has the
    preset for the largest images then.

    Args:
        method: the method.
        request: what the user asked for.
        dataset: the data set.
        image_size: side of the images, px, where they have been opened.

    Raises:
        UsageError: the method has no preset of the name that was asked for.
    """
    asked = request.settings_of("training").get("preset")
    if asked is None:
        # A recipe that was written before there were presets has all its settings.
        asked = NO_PRESET if FROM in request.config else AUTO
    if asked == NO_PRESET or (asked == AUTO and not method.presets):
        return method, NO_PRESET, ()
    known = {preset.name: preset for preset in method.presets}
    if asked != AUTO:
        if asked not in known:
            names, near = ", ".join((*known, NO_PRESET)), nearest(str(asked), known)
            raise UsageError(
                f"training.preset: {method.name} has no preset {asked!r}{near}; it has {names}"
                f"{request.origin_of('training', 'preset')}"
            )
        return _joined(method, known[str(asked)]), str(asked), ()
    if dataset.preset in known:
        chosen, why = known[dataset.preset], f"as {dataset.name} suggests"
        return _joined(method, chosen), chosen.name, (_note(method, chosen, why),)
    by_size = [preset for preset in method.presets if preset.up_to != 0]
    if not by_size:
        return method, NO_PRESET, ()
    size = request.settings_of("data").get("image_size") or dataset.image_size or image_size
    if not isinstance(size, int):
        rule = ", ".join(f"{preset.name} ({_for(preset)})" for preset in by_size)
        last = by_size[-1]
        note = f"the size of the images decides on the preset: {rule}; the settings of {last.name}"
        return _joined(method, last), AUTO, (f"{note} are shown",)
    fits = (preset for preset in by_size if preset.up_to is None or size <= preset.up_to)
    chosen = next(fits, by_size[-1])
    why = f"for images of {size} px"
    return _joined(method, chosen), chosen.name, (_note(method, chosen, why),)


def _note(method: Method, preset: Preset, why: str) -> str:
    others = ", ".join(each.name for each in method.presets if each is not preset)
    other = f" (--set training.preset=NAME takes another: {others})" if others else ""
    return f"{method.name} with the preset {preset.name}, {why}: {preset.summary}{other}"


def _for(preset: Preset) -> str:
    return "any size" if preset.up_to is None else f"up to {preset.up_to} px"


def _joined(method: Method, preset: Preset) -> Method:
    return replace(
        method,
        encoder=preset.encoder or method.encoder,
        settings=_both(method.settings, preset.settings),
        defaults=_both(method.defaults, preset.defaults),
        teacher=preset.teacher or method.teacher,
        presets=(),
    )


def _both(first: Sections, second: Sections) -> Sections:
    """Return the settings of both, those of the second where both have one.

    Settings are those of one part: another name in a section leaves out the first one's.
    """
    found: dict[str, Mapping[str, object]] = dict(first)
    for section, values in second.items():
        before = first.get(section, {})
        same = values.get("name", before.get("name")) == before.get("name")
        found[section] = {**before, **values} if same else values
    return found
