"""Several runs of one request: a product of settings and seeds, or some of it drawn at random."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch

from sslcore.contract.stages import DATA_SECTIONS, STAGES
from sslcore.errors import SettingsError, UsageError
from sslcore.random import generator_for
from sslcore.recipe.request import Assignment
from sslcore.recipe.toml import parse_value

#: What `--sweep` may be over besides settings and parts.
METHOD = "method"

#: Runs of a sweep that are started without `--trials`, at the most: beyond it, a slip is likelier.
MOST = 1000


@dataclass(frozen=True)
class Trial:
    """One run of several.

    Attributes:
        settings: what it has in addition to the request.
        folder: the name of its folder.
        method: in place of the request's; None leaves that as it is.
    """

    settings: tuple[Assignment, ...]
    folder: str
    method: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A setting and the values that it takes, `loss.temperature=0.1,0.2`.

    The section of the method is empty; the name of a part is the setting `name` of its section.
    """

    section: str
    name: str
    values: tuple[object, ...]

    @classmethod
    def of(cls, text: str) -> Sweep:
        """Read `SECTION.NAME=VALUE,VALUE`, or `method=NAME,NAME` and the same of a kind of part.

        A value in brackets is a list.

        Raises:
            ValueError: the text is not of that form, or names fewer than two values.
        """
        key, equals, rest = text.partition("=")
        section, dot, name = key.strip().partition(".")
        if key == METHOD:
            section, dot, name = "", ".", METHOD
        elif key in (*DATA_SECTIONS, *STAGES):
            section, dot, name = key, ".", "name"
        texts = [value.strip() for value in re.split(r",(?![^\[]*\])", rest)]
        if not equals or not dot or not (section or key == METHOD) or not name or not all(texts):
            raise ValueError(
                f"--sweep {text}: expected SECTION.NAME=VALUE,VALUE, as in "
                "loss.temperature=0.1,0.2,0.5, or method=NAME,NAME"
            )
        values = tuple(
            value if name in ("name", METHOD) else parse_value(value)
            for value in dict.fromkeys(texts)
        )
        if len(values) < 2:
            raise ValueError(f"--sweep {text}: there is only one value; use --set {text}")
        return cls(section, name, values)


def read_sweeps(texts: Sequence[str]) -> list[Sweep]:
    """Return the sweeps of the `--sweep` options; one error reports all malformed ones."""
    found: list[Sweep] = []
    problems: list[str] = []
    for text in texts:
        try:
            sweep = Sweep.of(text)
        except ValueError as error:
            problems.append(str(error))
            continue
        if any((sweep.section, sweep.name) == (each.section, each.name) for each in found):
            problems.append(f"--sweep {sweep.section}.{sweep.name} is given twice")
        found.append(sweep)
    if problems:
        raise SettingsError(problems)
    return found


def trials_of(
    sweeps: Sequence[Sweep], *, seeds: int = 1, first_seed: int = 0, draws: int | None = None
) -> list[Trial]:
    """Return the runs of sweeps.

    Args:
        sweeps: the settings and their values.
        seeds: runs of each combination, with seeds from `first_seed` upwards.
        first_seed: the first seed.
        draws: combinations to draw at random without repetition, the same ones for a first seed;
            None takes all.

    Raises:
        UsageError: there are too many runs.
    """
    combinations = list(product(*(sweep.values for sweep in sweeps)))
    if draws is not None and draws < len(combinations):
        order = torch.randperm(len(combinations), generator=generator_for(first_seed, "trials"))
        combinations = [combinations[place] for place in sorted(order[:draws].tolist())]
    if len(combinations) * seeds > MOST:
        raise UsageError(
            f"--sweep and --seeds make {len(combinations) * seeds:,} runs, more than {MOST:,}; "
            "draw some of them with --trials N"
        )
    found: list[Trial] = []
    for values in combinations:
        chosen = list(zip(sweeps, values, strict=True))
        for seed in range(first_seed, first_seed + seeds):
            method = next((str(value) for sweep, value in chosen if sweep.name == METHOD), None)
            settings = [
                (sweep.section, sweep.name, value) for sweep, value in chosen if sweep.section
            ]
            words = [
                f"{sweep.section if sweep.name == 'name' else sweep.name}={_word(value)}"
                for sweep, value in chosen
            ]
            if seeds > 1:
                settings.append(("training", "seed", seed))
                words.append(f"seed={seed}")
            found.append(Trial(tuple(settings), ",".join(words), method))
    names = [trial.folder for trial in found]
    if len(set(names)) < len(names):
        # Two settings of one name in different sections, or values that look alike in a file name.
        found = [
            replace(each, folder=f"{number:03},{each.folder}") for number, each in enumerate(found)
        ]
    return found


def _word(value: object) -> str:
    """Return a value as a part of a file's name."""
    return re.sub(r"[^\w.+-]+", "-", str(value))[:40]
