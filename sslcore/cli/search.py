"""`sslcore search`."""

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


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@click.argument("image", metavar="IMAGE", type=click.Path())
@data_option
@settings_option
@split_option
@click.option(
    "--top",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="Number of images to find.",
)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    help="File to write: a picture of the images (.png), or the list (.csv, .json).  "
    "[default: nearest.png; none with --json]",
)
@teacher_option
@device_option
@json_option
def search(
    run: str,
    image: str,
    data: str | None,
    set: tuple[str, ...],
    split: str,
    top: int,
    output: str | None,
    teacher: bool,
    device: str,
    as_json: bool,
) -> None:
    """Find the images nearest to IMAGE, an image file.

    Prints their cosine similarities, and draws them in a picture. An image with the same pixels is
    listed as "same image".

    \b
    sslcore search runs/simclr-digits-… photo.jpg
    sslcore search runs/… photo.jpg --data ~/photos --top 20 --output like-this.png
    """
    from sslcore import api
    from sslcore.cli.runs import print_rows
    from sslcore.cli.tables import write_list
    from sslcore.system.files import output_path, to_json, write_safely

    if output is None and not as_json:
        output = "nearest.png"
    path = None if output is None else output_path(output, _ENDINGS)
    found = api.search(
        run,
        image,
        data=data,
        settings=assignments(set),
        split=split,  # type: ignore[arg-type]
        top=top,
        teacher=teacher,
        device=device,
    )
    if path is not None:
        if path.suffix.lower() == ".png":
            write_safely(path, found.to_png())
        else:
            write_list(path, found)
    if as_json:
        click.echo(to_json(found.records(), indent=2))
        return
    rows = [
        [
            str(rank),
            f"{near.similarity:.3f}",
            near.label,
            near.name + (" (same image)" if near.same else ""),
        ]
        for rank, near in enumerate(found.nearest, 1)
    ]
    print_rows(["rank", "similarity", "label", "image"], rows)
    click.echo(str(path))
