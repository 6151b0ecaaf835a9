"""`sslcore dedupe`."""

from __future__ import annotations

import click

from sslcore.cli.options import (
    assignments,
    data_option,
    device_option,
    json_option,
    settings_option,
    split_option,
    teacher_option,
)
from sslcore.cli.words import complete_runs

_ENDINGS = (".png", ".csv", ".json")
#: Images to print; a file has them all.
_PRINTED = 60


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@data_option
@settings_option
@split_option
@click.option(
    "--above",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.9,
    show_default=True,
    metavar="SIMILARITY",
    help="Least similarity of two near-duplicates: lower finds more, and more that are none.",
)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    help="File to write: the list of all groups (.csv, .json), or a picture (.png).",
)
@teacher_option
@device_option
@json_option
def dedupe(
    run: str,
    data: str | None,
    set: tuple[str, ...],
    split: str,
    above: float,
    output: str | None,
    teacher: bool,
    device: str,
    as_json: bool,
) -> None:
    """Find groups of near-duplicates. No file is deleted.

    The similarity is the cosine of whitened features: unrelated images are near 0, whatever the
    encoder, and copies are near 1. A chain of similar pairs is one group.

    \b
    sslcore dedupe runs/simclr-digits-… --data ~/photos
    sslcore dedupe runs/… --data ~/photos --above 0.8 --output duplicates.csv
    """
    from sslcore import api
    from sslcore.cli.runs import print_rows
    from sslcore.cli.tables import write_list
    from sslcore.system.files import output_path, to_json, write_safely

    path = None if output is None else output_path(output, _ENDINGS)
    found = api.dedupe(
        run,
        data=data,
        settings=assignments(set),
        split=split,  # type: ignore[arg-type]
        above=above,
        teacher=teacher,
        device=device,
    )
    images = sum(map(len, found.groups))
    if path is not None and (found.groups or path.suffix.lower() != ".png"):
        if path.suffix.lower() == ".png":
            write_safely(path, found.to_png())
        else:
            write_list(path, found)
    if as_json:
        click.echo(to_json(found.records(), indent=2))
        return
    if not found.groups:
        click.echo(f"no near-duplicates with a similarity of at least {above:g}")
        return
    rows = [
        [str(number), f"{each.similarity:.3f}", each.split, each.label, each.name]
        for number, group in enumerate(found.groups, 1)
        for each in group
    ]
    print_rows(["group", "similarity", "split", "label", "image"], rows[:_PRINTED])
    if len(rows) > _PRINTED:
        click.echo(f"… and {len(rows) - _PRINTED} more; --output FILE.csv writes all")
    click.echo(f"{images} images in {len(found.groups)} groups")
    if path is not None:
        click.echo(str(path))
