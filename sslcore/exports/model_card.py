"""The model card: what the weights are, how they score, and how to load them."""

from __future__ import annotations

from sslcore.exports.exported import Exported


def model_card(exported: Exported, timm: str | None) -> str:
    """Return the model card as Markdown.

    Args:
        exported: what is exported, with the scores of its run.
        timm: the call that builds the model with timm; None where timm has none.
    """
    about, shape = exported.about, exported.shape
    task = "image-classification" if exported.classes else "image-feature-extraction"
    head = [
        "---",
        "library_name: timm" if timm else "library_name: pytorch",
        f"pipeline_tag: {task}",
        "tags:",
        "- self-supervised-learning",
        "- sslcore",
        "---",
        "",
    ]
    what = (
        f"A classifier of {len(exported.classes)} classes on" if exported.classes else "Features of"
    )
    text = [
        f"# {about.get('encoder')} trained with {about.get('method')} on {exported.data_name}",
        "",
        f"{what} {shape}, from the encoder `{about.get('encoder')}`, trained by sslcore "
        f"{about.get('version')} with the method `{about.get('method')}` on "
        f"{exported.train_images:,} images.",
        "",
        "## Input",
        "",
        *_input(exported),
        "",
        "## How to load it",
        "",
        "```python",
        *_loading(exported, timm),
        "```",
        "",
    ]
    if exported.classes:
        text += ["## Classes", "", ", ".join(exported.classes), ""]
    return "\n".join([*head, *text, *_scores(exported)])


def _input(exported: Exported) -> list[str]:
    side, seen = exported.shape.image_size, exported.normalization
    lines = [f"- {exported.shape}; the short side is scaled to {side} px and the centre cropped"]
    if seen is None:
        return [*lines, "- values as the augmentation of the run normalises them"]
    return [*lines, f"- values in [0, 1], minus the mean {seen.mean}, divided by {seen.std}"]


def _loading(exported: Exported, timm: str | None) -> list[str]:
    if timm is None:
        return [
            "from safetensors.torch import load_file",
            "",
            'weights = load_file("model.safetensors")',
            f"# The encoder {exported.about.get('encoder')} of sslcore takes them:",
            "# sslcore train --init model.safetensors --encoder "
            f"{exported.about.get('encoder')} --method {exported.about.get('method')} --data DIR",
        ]
    return [
        "import timm",
        "",
        'model = timm.create_model("local-dir:.", pretrained=True)',
        f"# or, with safetensors.torch: {timm}.load_state_dict(load_file('model.safetensors'))",
        "data = timm.data.resolve_model_data_config(model)",
        "transform = timm.data.create_transform(**data, is_training=False)",
    ]


def _scores(exported: Exported) -> list[str]:
    lines = []
    for title, heads, rows in exported.tables:
        lines += [f"## {title}", "", _row(heads), _row(["---" for _ in heads])]
        lines += [*(_row(row) for row in rows), ""]
    return lines


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
