"""`sslcore predict`."""

from __future__ import annotations

from pathlib import Path

import click

from sslcore.cli.options import device_option, json_option
from sslcore.cli.words import complete_runs

#: How the files end that can be written.
_ENDINGS = (".csv", ".json")


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--top",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    metavar="N",
    help="Classes to print for each image, the likeliest first.",
)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    help="Write the probabilities of all classes to this file (.csv or .json); print nothing else.",
)
@device_option
@json_option
def predict(
    run: str,
    images: tuple[str, ...],
    top: int,
    output: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Classify images with the classifier of a run that finetune has made.

    IMAGES are files and folders.

    \b
    sslcore predict runs/flowers photo.jpg
    sslcore predict runs/flowers ~/photos --output classes.csv
    """
    from sslcore import api
    from sslcore.cli.runs import print_rows
    from sslcore.cli.tables import write_list
    from sslcore.system.files import output_path, to_json

    path: Path | None = None
    if output is not None:
        path = output_path(output, _ENDINGS)
    found = api.predict(run, images, device=device)
    if path is not None:
        write_list(path, found)
        click.echo(str(path))
    elif as_json:
        click.echo(to_json(found.records(), indent=2))
    else:
        count = min(top, len(found.classes))
        heads = ["image", *(text for _ in range(count) for text in ("class", "probability"))]
        rows = [
            [name, *(text for known, value in best for text in (known, f"{value:.3f}"))]
            for name, best in found.top(count)
        ]
        print_rows(heads, rows)
