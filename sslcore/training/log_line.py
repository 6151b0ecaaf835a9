"""The line of metrics.jsonl that describes a step."""

from __future__ import annotations

from torch import Tensor

from sslcore.compute.processes import Processes
from sslcore.contract.interface import ENGINE_SIGNALS
from sslcore.evaluation.collapse import READ, read_signals
from sslcore.pipeline.pipeline import Signals
from sslcore.runs.metrics import LogLine
from sslcore.signals import batch_axis


def log_line(
    signals: Signals,
    processes: Processes,
    *,
    step: int,
    epoch: float,
    loss: float,
    learning_rate: float,
    images_per_second: float,
) -> LogLine:
    """Return the line of a step: loss, readings and the numbers that parts log.

    Args:
        signals: the signals of the step in this process.
        processes: the processes that share the batch; the line describes the global batch.
        step: steps done.
        epoch: epochs done.
        loss: mean loss since the last line.
        learning_rate: of the first parameter group.
        images_per_second: since the last line.
    """
    shown = _of_all(signals, processes)
    return LogLine(
        step=step,
        epoch=epoch,
        loss=loss,
        learning_rate=learning_rate,
        images_per_second=images_per_second,
        reading=read_signals(shown),
        numbers={
            name: float(item)
            for name, item in shown.items()
            if name != "loss" and name not in ENGINE_SIGNALS and _is_number(item)
        },
    )


def _of_all(signals: Signals, processes: Processes) -> Signals:
    """Return the representations and numbers of the global batch."""
    if not processes.several:
        return signals
    shown: Signals = {}
    for name, item in signals.items():
        if name in READ and isinstance(item, Tensor):
            shown[name] = processes.gather(item, batch_axis(name))
        elif isinstance(item, Tensor) and item.dim() == 0:
            shown[name] = processes.mean(item)
        elif _is_number(item):
            shown[name] = item
    return shown


def _is_number(item: object) -> bool:
    return isinstance(item, (int, float)) or (isinstance(item, Tensor) and item.dim() == 0)
