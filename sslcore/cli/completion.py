"""`sslcore completion`: the script that makes a shell complete words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes names, settings and runs when Tab is pressed.

    \b
    eval "$(sslcore completion bash)"                                   in ~/.bashrc
    eval "$(sslcore completion zsh)"                                    in ~/.zshrc
    sslcore completion fish > ~/.config/fish/completions/sslcore.fish
    """
    from sslcore.cli import COMPLETE

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(context.find_root().command, {}, "sslcore", COMPLETE).source(), nl=False)
