"""`sslcore completion`: the script that makes a shell complete words."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, get_completion_class

SHELLS = ("bash", "zsh", "fish")


class _Bash(BashComplete):
    """As click's, for words with a colon or an equals sign in them.

    Bash takes `no:NAME` and `SECTION.NAME=` for several words, and replaces the last one only.
    """

    source_template = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:$COMP_POINT}" current prefix="" response type value
    local -a words
    read -ra words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]}-1]}"
    [[ "$current" == *[:=]* ]] && prefix="${current%%"${current##*[:=]}"}"

    response=$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]}-1)) \
        %(complete_var)s=bash_complete "$1")
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                COMPREPLY+=("${value#"$prefix"}")
                # What stands after it is a value.
                [[ "$value" == *= ]] && compopt -o nospace
                ;;
        esac
    done <<< "$response"
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script with which a shell completes names, settings and runs.

    \b
    eval "$(sslcore completion bash)"                                   in ~/.bashrc
    eval "$(sslcore completion zsh)"                                    in ~/.zshrc
    sslcore completion fish > ~/.config/fish/completions/sslcore.fish
    """
    from sslcore.cli import COMPLETE

    script = _Bash if shell == "bash" else get_completion_class(shell)
    assert script is not None
    click.echo(script(context.find_root().command, {}, "sslcore", COMPLETE).source(), nl=False)
