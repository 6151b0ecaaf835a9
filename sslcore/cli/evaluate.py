"""`sslcore evaluate`."""

from __future__ import annotations

import click

from sslcore.cli.options import (
    assignments,
    device_option,
    evaluator_option,
    json_option,
    settings_option,
)
from sslcore.cli.words import complete_data, complete_runs
from sslcore.recipe.request import Request


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@evaluator_option
@settings_option
@click.option(
    "--eval-data",
    "--data",
    "data",
    metavar="NAME|PATH",
    shell_complete=complete_data,
    help="Evaluate on other data; the figures have a file of their own.",
)
@device_option
@json_option
def evaluate(
    run: str,
    evaluators: tuple[str, ...],
    set: tuple[str, ...],
    data: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Evaluate a run beside its two baselines: the untrained encoder and raw pixels.

    \b
    sslcore evaluate runs/simclr-digits-…
    sslcore evaluate runs/… --evaluator linear-probe --set evaluator.labels_per_class=1
    """
    asked = Request.of(evaluators=evaluators, settings=assignments(set), data=data)

    from sslcore.api.after import measure
    from sslcore.evaluation.table import print_table
    from sslcore.system.files import to_json

    table, details = measure(run, asked, device=device)
    if as_json:
        click.echo(to_json(table, indent=2))
    else:
        print_table(table, details)
