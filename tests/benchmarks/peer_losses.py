"""Results of the conformance kit for other packages' NT-Xent, and for torch's own pieces.

    pip install -e '.[bench]'
    python tests/benchmarks/peer_losses.py

Prints a table in Markdown with a row per implementation: the number of properties, and the names of
those that fail, in float64 and float32 and in other dtypes. The reasons follow below the table.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing import LossSpec, Report, check

#: Properties that are not about float64 or float32.
_ELSEWHERE = ("bfloat16", "float16")


def shipped(temperature: float = 0.5) -> Callable[..., Tensor]:
    """sslcore's own."""
    from sslcore_simclr.losses import NTXent

    return NTXent(temperature=temperature)


def lightly(temperature: float = 0.5) -> Callable[..., Tensor]:
    """lightly's module, called with the two views."""
    from lightly.loss import NTXentLoss

    loss = NTXentLoss(temperature=temperature)
    return lambda z1, z2: loss(z1, z2)


def pytorch_metric_learning(temperature: float = 0.5) -> Callable[..., Tensor]:
    """pytorch-metric-learning's loss, as its documentation shows for two views."""
    from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss

    loss = SelfSupervisedLoss(NTXentLoss(temperature=temperature))
    return lambda z1, z2: loss(z1, z2)


def cross_entropy(temperature: float = 0.5) -> Callable[..., Tensor]:
    """The usual few lines over torch.nn.functional.cross_entropy."""

    def loss(z1: Tensor, z2: Tensor) -> Tensor:
        unit = F.normalize(torch.cat([z1, z2]), dim=1)
        similar = unit @ unit.T / temperature
        similar = similar.masked_fill(torch.eye(len(unit), dtype=torch.bool), -torch.inf)
        return F.cross_entropy(similar, torch.arange(len(unit)).roll(len(z1)))

    return loss


PEERS = {
    "sslcore": (shipped, "sslcore"),
    "lightly": (lightly, "lightly"),
    "pytorch-metric-learning": (pytorch_metric_learning, "pytorch-metric-learning"),
    "torch cross-entropy": (cross_entropy, "torch"),
}


def main() -> None:
    """Check and print."""
    print("| NT-Xent of | version | checked | fails in float64, float32 | fails elsewhere |")
    print("| --- | --- | --- | --- | --- |")
    reports: dict[str, Report] = {}
    for name, (make, distribution) in PEERS.items():
        report = check(LossSpec(make=make, family="nt-xent", name=name), mutation=False)
        reports[name] = report
        failed = [row.property for row in report.failures]
        elsewhere = [item for item in failed if any(item.endswith(end) for end in _ELSEWHERE)]
        exact = [item for item in failed if item not in elsewhere]
        ran = sum(row.status != "n/a" for row in report.rows)
        version = importlib.metadata.version(distribution)
        cells = [
            name,
            version,
            str(ran),
            ", ".join(exact) or "none",
            ", ".join(elsewhere) or "none",
        ]
        print(f"| {' | '.join(cells)} |")
    for name, report in reports.items():
        for row in report.failures:
            print(f"\n{name}, {row.property}: {row.reason}\n{row.counterexample}")


if __name__ == "__main__":
    main()
