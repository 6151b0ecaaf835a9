"""The command line: each command in a file of its own, imported when it is called.

Exit codes: 0 done, 1 failed at run time, 2 asked for something that can't be done, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import warnings
from contextlib import suppress
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

import sslcore
from sslcore.cli.options import plugin_option
from sslcore.compute.torchrun import local_rank, process_count, rank
from sslcore.errors import InterruptedRun, LostProcessError, SslcoreError, UsageError
from sslcore.registry.registry import use_plugins
from sslcore.system.printable import printable

_COMMANDS = {
    "train": ("sslcore.cli.train", "Train a method on images, then evaluate it."),
    "evaluate": ("sslcore.cli.evaluate", "Evaluate a run, beside its two baselines."),
    "check": ("sslcore.cli.check", "Check a part against the properties of its kind."),
    "methods": ("sslcore.cli.listing", "List methods, or show one."),
    "components": ("sslcore.cli.listing", "List components, or show one."),
    "plugins": ("sslcore.cli.plugins", "List installed plugins and what they offer."),
    "new-plugin": ("sslcore.cli.new_plugin.command", "Write the start of a plugin of your own."),
    "completion": ("sslcore.cli.completion", "Print the script that completes words in a shell."),
}

#: Seconds in which torchrun has long noticed that a process has ended.
_WAITING = 3.0

#: Set by a shell that wants words completed.
COMPLETE = "_SSLCORE_COMPLETE"


class _Commands(click.Group):
    """Imports a command's file when the command is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[name][0])
        command: click.Command = getattr(module, name.replace("-", "_"))
        if plugin_option not in command.params:
            # It is understood before and after the command.
            command.params.append(plugin_option)
        return command

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        # Without importing every command for its summary.
        if incomplete.startswith("-"):
            return super().shell_complete(context, incomplete)
        return [
            CompletionItem(name, help=summary)
            for name, (_, summary) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sslcore.__version__, prog_name="sslcore")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def cli() -> None:
    """Self-supervised learning on images from parts that plug together.

    \b
    sslcore train --method simclr              train on embedded digits, a minute on a laptop
    sslcore train --method simclr --data DIR   train on a folder of images
    sslcore methods                            what can be trained
    sslcore components                         what it can be put together from
    """


cli.params.append(plugin_option)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments or bool(os.environ.get("SSLCORE_DEBUG"))
    # --debug is understood before and after the command.
    arguments = [argument for argument in arguments if argument != "--debug"]
    warnings.showwarning = _show_warning
    if os.environ.get(COMPLETE):
        # Whoever presses Tab wants words; what is wrong is said when the command is run.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.exit(_run(arguments, debug=debug))


def _run(arguments: list[str], *, debug: bool) -> int:
    use_plugins(())
    try:
        result = cli.main(
            arguments,
            prog_name="sslcore",
            complete_var=COMPLETE,
            standalone_mode=False,
            obj={"debug": debug},
        )
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SslcoreError as error:
        if debug:
            raise
        _say(error)
        if isinstance(error, LostProcessError):
            # Once this process ends, torchrun ends all: the one that has gone may be about to say
            # why.
            time.sleep(2 * _WAITING)
        return error.exit_code
    except KeyboardInterrupt:
        if debug:
            raise
        _tell("interrupted")
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        said = str(error).splitlines()[0] if str(error) else ""
        _tell(
            f"{_speaker()}Error: {type(error).__name__}: {said}\n(unexpected: --debug shows where)"
        )
        return 1
    return result if isinstance(result, int) else 0


def _say(error: SslcoreError) -> None:
    if rank() > 0 and error.exit_code == InterruptedRun.exit_code:
        return
    if local_rank() > 0 and error.exit_code == UsageError.exit_code:
        # What can't be done can mostly be done in no process. Then the first one says so and ends,
        # and torchrun ends this one while it waits; else this one has to say it.
        time.sleep(_WAITING)
    prefix = _speaker() + ("" if error.exit_code == InterruptedRun.exit_code else "Error: ")
    lines = str(error).splitlines() or [type(error).__name__]
    _tell(f"{prefix}{lines[0]}")
    for line in lines[1:]:
        _tell(f"       {line}")


def _speaker() -> str:
    """Return what tells this process from the one that usually speaks."""
    return f"process {rank()} of {process_count()}: " if rank() > 0 else ""


def _tell(text: str) -> None:
    # Whoever read stderr may have gone; that is no reason to end otherwise.
    with suppress(OSError):
        click.echo(printable(text), err=True)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    where = "" if category.__module__.startswith("sslcore") else f" ({filename}:{lineno})"
    _tell(f"warning: {message}{where}")
