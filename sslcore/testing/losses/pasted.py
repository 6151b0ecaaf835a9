"""Python code that reproduces a violation: a call of the loss on an example."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslcore.testing.losses.engine_values import engine_code
from sslcore.testing.losses.example import Example, as_code

if TYPE_CHECKING:
    from sslcore.testing.losses.subject import LossSubject


def calling_code(subject: LossSubject, example: Example) -> str:
    """Return Python code that calls the loss on the example."""
    lines = ["import torch"]
    arguments = subject.arguments(example)
    made = f"make({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
    shown = example.inputs
    try:
        loss = subject.spec.make(**arguments)
        plain = subject.is_plain(loss)
        shown = shown if plain else subject.given(loss, shown)
    except Exception:  # noqa: BLE001 - the checked code may raise anything
        plain = False
    if plain and subject.family.plain is not None:
        names = subject.family.plain_names
        if subject.spec.signals:
            names = tuple(part.strip() for part in subject.spec.signals.split(","))
        calls = subject.family.plain(example.inputs)
        for each in calls:
            lines += [f"{name} = {as_code(item)}" for name, item in zip(names, each, strict=False)]
            lines.append(f"{made}({', '.join(names)})")
    else:
        lines += [f"{name} = {as_code(item)}" for name, item in shown.items()]
        further = engine_code(example, subject.family.batch_of(example.inputs))
        if "random" in further:
            lines.insert(0, "import sslcore")
        keywords = {**{name: name for name in shown}, **further}
        lines.append(f"{made}({', '.join(f'{name}={text}' for name, text in keywords.items())})")
    return "\n".join(lines)
