"""Options that several commands share."""

from __future__ import annotations

import click

from sslcore.cli.words import (
    complete_data,
    complete_evaluators,
    complete_plugins,
    complete_settings,
)
from sslcore.errors import SettingsError
from sslcore.recipe.request import Assignment
from sslcore.recipe.toml import parse_assignment
from sslcore.registry.registry import plugins_in_use, use_plugins


def _use(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> None:
    use_plugins((*plugins_in_use(), *values))


plugin_option = click.Option(
    ["-p", "--plugin"],
    metavar="VALUE",
    multiple=True,
    expose_value=False,
    # Names in other options are looked up among these plugins.
    is_eager=True,
    callback=_use,
    shell_complete=complete_plugins,
    help="Use the plugin in ./FILE.py or in a module; no:NAME leaves a plugin out. Repeatable.",
)

settings_option = click.option(
    "--set",
    "-s",
    metavar="SECTION.NAME=VALUE",
    multiple=True,
    shell_complete=complete_settings,
    help="Change a setting, as in loss.temperature=0.2. Repeatable.",
)

evaluator_option = click.option(
    "--evaluator",
    "evaluators",
    metavar="NAME",
    multiple=True,
    shell_complete=complete_evaluators,
    help="Evaluator to use in place of the default ones. Repeatable.",
)

device_option = click.option(
    "--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 or mps."
)

data_option = click.option(
    "--data",
    "-d",
    metavar="NAME|PATH",
    shell_complete=complete_data,
    help="Images to take; those of the run by default.",
)

eval_data_option = click.option(
    "--eval-data",
    metavar="NAME|PATH",
    shell_complete=complete_data,
    help="Labelled images for evaluators, in place of those of --data.",
)

split_option = click.option(
    "--split",
    type=click.Choice(["all", "train", "test"]),
    default="all",
    show_default=True,
    help="Which of the images.",
)

teacher_option = click.option(
    "--teacher", is_flag=True, help="Use the encoder of the run's teacher."
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def assignments(texts: tuple[str, ...]) -> list[Assignment]:
    """Return the settings of the `--set` options; one error reports all malformed ones."""
    parsed: list[Assignment] = []
    problems: list[str] = []
    for text in texts:
        try:
            parsed.append(parse_assignment(text))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError(problems)
    return parsed
