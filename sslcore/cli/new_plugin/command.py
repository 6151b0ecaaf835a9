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
    "--kind", type=click.Choice(KINDS), required=True, help="Kind of its first component."
)
@click.option(
    "--name", "part", metavar="PART", default="", help="Name of that component. [default: PLUGIN]"
)
@click.option("--directory", metavar="DIR", help="Folder to create. [default: PLUGIN]")
@click.option("--author", metavar="TEXT", default="", help="Holder of the copyright.")
@click.option("--license", type=click.Choice(LICENSES), default="MIT", show_default=True)
def new_plugin(
    name: str, kind: str, part: str, directory: str | None, author: str, license: str
) -> None:
    """Create a plugin: a package with one component, its tests, and the files to publish it.

    \b
    sslcore new-plugin soft-agreement --kind loss
    sslcore new-plugin sslcore-alignment --kind method   a method called alignment

    To add a second component, create another plugin in a scratch folder and move its module, its
    hook and its tests over.
    """
    folder = Path(name) if directory is None else user_path(directory, "--directory")
    if directory is not None and folder.exists():
        raise UsageError(f"{folder} exists already: choose another --directory")
    names = Names(name, kind, part)
    check_names(names, default_registry())
    files = files_of(names, author=author, license=license)
    write(folder, files)
    for path in files:
        click.echo(folder / path)
    click.echo(f"\ncd {shlex.quote(str(folder))} && pip install -e '.[test]' && pytest")
