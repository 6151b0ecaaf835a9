"""`sslcore new-plugin`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from sslcore.cli.new_plugin import KINDS, LICENSES, Names, check_names, files_of, write
from sslcore.errors import UsageError
from sslcore.registry.registry import default_registry
from sslcore.system.files import user_path


@click.command()
@click.argument("name", metavar="PLUGIN")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS),
    required=True,
    multiple=True,
    help="Kind of a component; repeat it for several.",
)
@click.option(
    "--name",
    "parts",
    metavar="PART",
    multiple=True,
    help="Name of that component; repeat it as --kind. [default: PLUGIN]",
)
@click.option("--directory", metavar="DIR", help="Folder to create. [default: PLUGIN]")
@click.option("--author", metavar="TEXT", default="", help="Holder of the copyright.")
@click.option("--license", type=click.Choice(LICENSES), default="MIT", show_default=True)
def new_plugin(
    name: str,
    kinds: tuple[str, ...],
    parts: tuple[str, ...],
    directory: str | None,
    author: str,
    license: str,
) -> None:
    """Create a plugin: a package with components, their tests, and the files to publish it.

    \b
    sslcore new-plugin soft-agreement --kind loss
    sslcore new-plugin sslcore-alignment --kind method   a method called alignment, and its loss
    sslcore new-plugin sslcore-soft --kind loss --name soft --kind head --name wide
    """
    folder = Path(name) if directory is None else user_path(directory, "--directory")
    if directory is not None and folder.exists():
        raise UsageError(f"{folder} exists already: choose another --directory")
    named = _named(name, kinds, parts)
    for names in named:
        check_names(names, default_registry())
    files = files_of(*named, author=author, license=license)
    write(folder, files)
    for path in files:
        click.echo(folder / path)
    click.echo(f"\ncd {shlex.quote(str(folder))} && pip install -e '.[test]' && pytest")


def _named(name: str, kinds: tuple[str, ...], parts: tuple[str, ...]) -> list[Names]:
    twice = [kind for kind in dict.fromkeys(kinds) if kinds.count(kind) > 1]
    if twice:
        raise UsageError(
            f"--kind {twice[0]} is given twice: a new plugin has one {twice[0]}; copy it to add "
            "another"
        )
    if parts and len(parts) != len(kinds):
        raise UsageError(
            f"--name: {len(parts)} given for {len(kinds)} components; give one for each --kind, in "
            "the same order, or none"
        )
    return [
        Names(name, kind, part)
        for kind, part in zip(kinds, parts or ("",) * len(kinds), strict=True)
    ]
