"""The options that say what to train, shared by the commands that make a recipe of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sslcore.cli.options import (
    assignments,
    eval_data_option,
    evaluator_option,
    settings_option,
)
from sslcore.cli.words import complete_data, names_of
from sslcore.recipe.request import Assignment

#: A command, or the function of one.
Decorated = TypeVar("Decorated", bound=Callable[..., object])

#: The options of a command, by parameter.
Options = dict[str, Any]

#: The parameters of `Request.of` that have options of the same name.
REQUESTED = (
    "method",
    "data",
    "eval_data",
    "augmentation",
    "encoder",
    "head",
    "loss",
    "evaluators",
    "config",
)


def _part_option(kind: str, more: str = "") -> Callable[[Decorated], Decorated]:
    return click.option(
        f"--{kind}",
        metavar="NAME",
        shell_complete=names_of(kind),
        help=f"{kind.capitalize()} to use in place of the method's default{more}.",
    )


_OPTIONS = (
    click.option(
        "--method",
        "-m",
        metavar="NAME",
        shell_complete=names_of("method"),
        help="Method to train; sslcore methods lists them.",
    ),
    click.option(
        "--data",
        "-d",
        metavar="NAME|PATH",
        shell_complete=complete_data,
        help="Name of a data set, or a folder of images. [default: digits]",
    ),
    eval_data_option,
    _part_option("augmentation"),
    _part_option("encoder"),
    _part_option("head", "; none for no head"),
    _part_option("loss"),
    evaluator_option,
    settings_option,
    click.option(
        "--config", metavar="FILE", help="TOML file of settings, such as the recipe.toml of a run."
    ),
    click.option(
        "--epochs",
        type=int,
        metavar="N",
        help="Passes over the training images; short for training.epochs.",
    ),
    click.option(
        "--batch-size",
        type=int,
        metavar="N",
        help="Global batch size, over all devices; short for training.batch_size.",
    ),
    click.option(
        "--micro-batch",
        type=int,
        metavar="N",
        help="Images (over all devices) that the encoder processes at a time, for a batch that "
        "does not fit into memory; short for training.micro_batch.",
    ),
    click.option("--seed", type=int, metavar="N", help="Random seed; short for training.seed."),
    click.option("--lr", type=float, metavar="X", help="Learning rate; short for optimizer.lr."),
    click.option(
        "--precision", metavar="P", help="auto, fp32, bf16 or fp16; short for training.precision."
    ),
)


def request_options(command: Decorated) -> Decorated:
    """Give a command the options that say what to train."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_in(options: Options) -> list[Assignment]:
    """Take the settings out of a command's options: those of `--set`, then the short ones.

    Raises:
        SettingsError: a `--set` is malformed.
    """
    settings = assignments(options.pop("set"))
    for name in ("epochs", "batch_size", "micro_batch", "seed", "precision"):
        settings += [("training", name, value)] if (value := options.pop(name)) is not None else []
    rate = options.pop("lr")
    return settings + ([("optimizer", "lr", rate)] if rate is not None else [])
