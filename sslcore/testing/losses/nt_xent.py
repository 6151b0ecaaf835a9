"""The family `nt-xent` (SimCLR, Chen et al. 2020, equation 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcore.testing.losses.contrastive import CONTRASTIVE
from sslcore.testing.losses.draws import pairs
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Family, Hyper, HyperRange, register_family
from sslcore.testing.losses.nt_xent_mutants import CONTROL, MUTANTS
from sslcore.testing.losses.pair_examples import (
    MODERATE,
    pair_anchors,
    pair_degenerate,
    pair_malformed,
    pair_plain,
    pair_plain_malformed,
    pair_single,
)

#: Values drawn for τ: ordinary ones first, then the extremes in use.
TEMPERATURE = HyperRange(0.5, (0.5, 1.0, 0.1, 0.2, 0.07, 2.0, 10.0), 0.05, 5.0, required=True)


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean over rows i of log Σ_{k ≠ i} exp((s_ik − s_ip)/τ), sample by sample.

    Written as a loop, so that it shares no indexing with the losses it is compared with.
    """
    first, second = inputs["projections"]
    rows = [*_unit(first), *_unit(second)]
    count = len(first)
    if count > 12:
        return _by_matrix(torch.stack(rows), hyper["temperature"])
    losses = []
    for i, row in enumerate(rows):
        own = row @ rows[(i + count) % (2 * count)]
        others = torch.stack([row @ other for k, other in enumerate(rows) if k != i])
        losses.append(torch.logsumexp((others - own) / hyper["temperature"], 0))
    return torch.stack(losses).mean()


def _by_matrix(rows: Tensor, temperature: float) -> Tensor:
    """Return the same for many rows."""
    count = len(rows) // 2
    similar = rows @ rows.T / temperature
    own = torch.cat([similar.diagonal(count), similar.diagonal(-count)])
    similar = similar - torch.diag(torch.full((2 * count,), torch.inf, dtype=rows.dtype))
    return (similar.logsumexp(1) - own).mean()


def _unit(rows: Tensor) -> Tensor:
    result: Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return result


def candidates(unit: Tensor) -> Tensor:
    """Return the similarities of each row with all others, (2N, 2N − 1), the positive first."""
    rows = unit.flatten(0, 1)
    count = unit.shape[1]
    similar = rows @ rows.T
    index = torch.arange(2 * count)
    own = (index + count) % (2 * count)
    rest = torch.stack([index[(index != i) & (index != own[i])] for i in range(2 * count)])
    return similar.gather(1, torch.cat([own[:, None], rest], 1))


def gradient_scale(inputs: Inputs, hyper: Hyper) -> dict[str, Tensor]:
    """Return (2/τ)/(N‖z‖) for each row, a bound on its gradient."""
    pair = inputs["projections"]
    lengths = pair.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return {"projections": 2 / (hyper["temperature"] * pair.shape[1] * lengths)}


NT_XENT = register_family(
    Family(
        name="nt-xent",
        summary="Identify the other view of an image among all views of all other images",
        signals=("projections",),
        reference=reference,
        hyper={"temperature": TEMPERATURE},
        examples=pairs,
        # Some implementations compare every positive with every negative of the whole batch.
        anchors=lambda: [
            item for item in pair_anchors() if item.inputs["projections"].shape[1] <= 200
        ],
        degenerate=pair_degenerate,
        degenerate_gradient=MODERATE,
        single=pair_single,
        malformed=pair_malformed,
        trainable=("projections",),
        plain=pair_plain,
        plain_names=("z1", "z2"),
        plain_malformed=pair_plain_malformed,
        scale=lambda inputs, hyper: 2 / hyper["temperature"],
        gradient_scale=gradient_scale,
        properties=CONTRASTIVE,
        mutants=MUTANTS,
        control=CONTROL,
        facts={
            "symmetric": True,
            "negatives": lambda count: 2 * count - 2,
            "candidates": candidates,
            "bounds_information": False,
        },
    )
)
