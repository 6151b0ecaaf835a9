"""Settings held against what a part declares: in one place, in one wording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sslcore.contract.interface import SUPPLIED, supplied_to
from sslcore.contract.settings import REQUIRED, Setting
from sslcore.contract.stages import STAGES
from sslcore.errors import SettingsError, nearest


class Validation:
    """Validates settings section by section and collects every problem.

    Args:
        origin_of: returns where the setting of a section comes from, `" (in FILE)"`, for the
            message about it; empty where the user typed it.
    """

    def __init__(self, origin_of: Callable[[str, str], str] = lambda section, name: "") -> None:
        self.origin_of = origin_of
        self.problems: list[str] = []

    def settings(
        self, section: str, known: Mapping[str, Setting], values: Mapping[str, object], owner: str
    ) -> dict[str, Any] | None:
        """Return every setting of a section, defaults included, or None where one is wrong.

        Args:
            section: where the settings stand.
            known: the settings that there are.
            values: what was given for them.
            owner: whose settings they are, for messages.
        """
        before = len(self.problems)
        for name in values:
            if name not in known:
                self.problems.append(
                    f"{section}.{name}: {_unknown(section, name, known, owner)}"
                    f"{self.origin_of(section, name)}"
                )
        valid: dict[str, Any] = {}
        for name, setting in known.items():
            if name in values:
                try:
                    valid[name] = setting.validate(values[name])
                except ValueError as error:
                    origin = self.origin_of(section, name)
                    self.problems.append(f"{section}.{name}: {error} ({owner}){origin}")
            elif setting.default is REQUIRED:
                self.problems.append(f"{section}.{name}: {_missing(section, setting)} ({owner})")
            else:
                valid[name] = setting.default
        return valid if len(self.problems) == before else None

    def check(self) -> None:
        """Raise one `SettingsError` with all problems, if there are any."""
        if self.problems:
            raise SettingsError(self.problems)


def _unknown(section: str, name: str, known: Mapping[str, Setting], owner: str) -> str:
    is_stage = section in STAGES
    if (is_stage or section == "evaluator") and name in supplied_to(is_stage=is_stage):
        return f"the engine supplies it ({SUPPLIED[name]})"
    has = ", ".join(known) or "none"
    return f"no such setting{nearest(name, known)}; it has {has} ({owner})"


def _missing(section: str, setting: Setting) -> str:
    # A parameter whose name is nearly that of a supplied one is a slip of the part's author.
    near = nearest(setting.name, SUPPLIED)
    slip = f"{near}, which the engine supplies to parts that name it" if near else ""
    return f"must be given: {setting.type}; use --set {section}.{setting.name}=…{slip}"
