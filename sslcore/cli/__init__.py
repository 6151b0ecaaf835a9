"""The command line: each command in a file of its own, imported when it is called.

Exit codes: 0 done, 1 failed at run time, 2 asked for something that can't be done, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

import sslcore
from sslcore.cli.options import plugin_option
from sslcore.compute.torchrun import process_count, rank
from sslcore.errors import InterruptedRun, SslcoreError, first_line
from sslcore.registry.registry import use_plugins
from sslcore.system.printable import printable

#: The commands, with the module of each and its summary.
COMMANDS = {
    "preview": ("sslcore.cli.preview", "Draw images and the views that training makes of them."),
    "train": ("sslcore.cli.train", "Train a method on images and evaluate it."),
    "evaluate": ("sslcore.cli.evaluate", "Evaluate a run beside its two baselines."),
    "finetune": ("sslcore.cli.finetune", "Train a classifier on a run's encoder, as a new run."),
    "predict": ("sslcore.cli.predict", "Classify images with the run that finetune made."),
    "embed": ("sslcore.cli.embed", "Write the features of images to a file."),
    "export": ("sslcore.cli.export", "Write a run's encoder or classifier as ONNX, for timm, …"),
    "search": ("sslcore.cli.search", "Find the images nearest to an image."),
    "dedupe": ("sslcore.cli.dedupe", "Find groups of near-duplicates."),
    "report": ("sslcore.cli.report", "Write the report of a run anew."),
    "runs": ("sslcore.cli.runs", "List runs."),
    "compare": ("sslcore.cli.runs", "Compare runs: settings, scores and curves."),
    "watch": ("sslcore.cli.watch", "Show the curves of a run in the terminal."),
    "check": ("sslcore.cli.check", "Check a component against the properties of its kind."),
    "methods": ("sslcore.cli.listing", "List methods, or show one."),
    "components": ("sslcore.cli.listing", "List components, or show one."),
    "plugins": ("sslcore.cli.plugins", "List the installed plugins and their records."),
    "new-plugin": ("sslcore.cli.new_plugin.command", "Create a package for a plugin of your own."),
    "completion": ("sslcore.cli.completion", "Print the completion script of a shell."),
}

#: A shell sets this variable when it asks for completions.
COMPLETE = "_SSLCORE_COMPLETE"


class _Commands(click.Group):
    """Imports a command's file when the command is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[name][0])
        command: click.Command = getattr(module, name.replace("-", "_"))
        if plugin_option not in command.params:
            # -p may stand before and after the command.
            command.params.append(plugin_option)
        return command

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        # click would import every command for its summary.
        if incomplete.startswith("-"):
            return super().shell_complete(context, incomplete)
        return [
            CompletionItem(name, help=summary)
            for name, (_, summary) in COMMANDS.items()
            if name.startswith(incomplete)
        ]

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sslcore.__version__, prog_name="sslcore")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def cli() -> None:
    """Self-supervised learning on images, from components that plug together.

    \b
    sslcore train --method simclr              train on the embedded digits in a minute
    sslcore train --method simclr --data DIR   train on a folder of images
    sslcore finetune RUN --data LABELLED       train a classifier on its encoder
    sslcore methods                            list the methods
    sslcore components                         list the components of methods
    """


cli.params.append(plugin_option)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments or bool(os.environ.get("SSLCORE_DEBUG"))
    # --debug may stand before and after the command.
    arguments = [argument for argument in arguments if argument != "--debug"]
    warnings.showwarning = _show_warning
    if os.environ.get(COMPLETE):
        # Tab must print completions only; errors are reported when the command is run.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.exit(run(arguments, debug=debug))


def run(arguments: list[str], *, debug: bool = False) -> int:
    """Run the command line and return its exit code; an error is printed in a line on stderr.

    Args:
        arguments: the words after the program's name.
        debug: whether to raise the error instead, with its traceback.
    """
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
        _print("interrupted")
        return InterruptedRun.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # The reader (head, less) has gone; Python must not report that at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        return _report(error)
    return result if isinstance(result, int) else 0


def _report(error: BaseException) -> int:
    """Print an error and return its exit code."""
    if isinstance(error, KeyboardInterrupt):
        _print("interrupted")
        return InterruptedRun.exit_code
    if not isinstance(error, SslcoreError):
        _print(f"Error: {type(error).__name__}: {first_line(error)}")
        _print("(unexpected: --debug shows the traceback)")
        return 1
    interrupted = isinstance(error, InterruptedRun)
    if interrupted and rank() > 0:
        return error.exit_code
    lines = str(error).splitlines() or [type(error).__name__]
    _print(("" if interrupted else "Error: ") + lines[0])
    for line in lines[1:]:
        _print(f"       {line}")
    return error.exit_code


def _print(text: str) -> None:
    # Of several processes, each line names its own. The reader of stderr may have gone.
    prefix = f"[rank {rank()}] " if process_count() > 1 else ""
    with suppress(OSError):
        click.echo(prefix + printable(text), err=True)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    where = "" if category.__module__.startswith("sslcore") else f" ({filename}:{lineno})"
    _print(f"warning: {message}{where}")
