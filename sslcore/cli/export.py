"""`sslcore export`."""

from __future__ import annotations

import click

from sslcore.cli.words import complete_runs

#: The formats, as in `sslcore.exports.formats`, which imports torch.
FORMATS = ("torch", "safetensors", "onnx", "torchscript", "torchvision", "timm", "huggingface")


@click.command()
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@click.option(
    "--format",
    "-f",
    "format",
    type=click.Choice(FORMATS),
    required=True,
    help="The format to write.",
)
@click.option(
    "--output",
    "-o",
    metavar="PATH",
    help="File to write, or folder for huggingface. [default: RUN/exports/FORMAT]",
)
@click.option(
    "--preprocessing/--no-preprocessing",
    default=True,
    help="Whether onnx and torchscript normalise the images. [default: preprocessing]",
)
@click.option("--teacher", is_flag=True, help="Export the encoder of the run's teacher.")
def export(run: str, format: str, output: str | None, preprocessing: bool, teacher: bool) -> None:
    """Write the encoder of a run for other programs, with its classifier if it has one.

    \b
    torch, safetensors         weights in a file
    onnx, torchscript          the whole network, from images to features or logits
    torchvision, timm          weights that the library's own model loads
    huggingface                a folder with weights, configuration and model card

    \b
    sslcore export runs/simclr-digits-… --format onnx
    sslcore export runs/… --format timm --output resnet18.safetensors
    """
    from sslcore import api

    made = api.export(
        run, format=format, output=output, preprocessing=preprocessing, teacher=teacher
    )
    click.echo(f"note: it gives {made.output}; load it with: {made.load}", err=True)
    click.echo(str(made.path))
