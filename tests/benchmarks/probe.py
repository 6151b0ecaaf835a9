"""The linear probe's solver against `torch.optim.LBFGS`, on the same problems, in turns.

    python tests/benchmarks/probe.py [--turns 3]

Both minimise the same objective (cross-entropy summed over samples, plus l2 / 2 times the squared
weights) from zero. `LBFGS` has its strong Wolfe line search and the same memory; P problems are
solved as one, since it knows no batches. It stops, as the probe does, where a step would lower the
objective by less than 1e-6 nats per sample, or after 300 iterations. A row has the median seconds
of each, their ratio, and how far above the lower of the two objectives each ended, in nats per
sample.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcore_probes.softmax_regression import fit, logits

#: (what, problems P, samples N, features F, classes K, penalty)
PROBLEMS = (
    ("digits, all labels", 1, 1347, 128, 10, 1.0),
    ("digits, ten draws of 5 per class", 10, 50, 128, 10, 1.0),
    ("50,000 samples, 10 classes", 1, 50_000, 512, 10, 1.0),
    ("20,000 samples, 100 classes", 1, 20_000, 512, 100, 10.0),
)


def problem(count: int, samples: int, width: int, classes: int) -> tuple[Tensor, Tensor]:
    """Return features (P, N, F) of about unit scale, and targets (P, N) that depend on them."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(count, samples, width, generator=generator)
    truth = torch.randn(width, classes, generator=generator) / width**0.5
    noise = torch.randn(count, samples, classes, generator=generator)
    return features, (features @ truth + 0.5 * noise).argmax(-1)


def objective(features: Tensor, targets: Tensor, weights: Tensor, l2: float) -> Tensor:
    """Return the objective summed over problems."""
    scores = logits(features, weights)
    return (
        F.cross_entropy(scores, targets, reduction="sum") + l2 / 2 * weights[..., :-1].pow(2).sum()
    )


def by_torch(features: Tensor, targets: Tensor, classes: int, l2: float) -> Tensor:
    """Return the weights (P, K, F + 1) that `torch.optim.LBFGS` finds."""
    count, samples, width = features.shape
    weights = torch.zeros(count, classes, width + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=300,
        history_size=10,
        line_search_fn="strong_wolfe",
        tolerance_grad=0.0,
        tolerance_change=1e-6,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        # Per sample, so that the tolerance of a change is that of the probe.
        loss = objective(features, targets, weights, l2) / (count * samples)
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()


def main() -> None:
    """Print a row for each problem."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=3)
    turns = parser.parse_args().turns
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {turns} turns")
    print(f"{'problem':<34}{'sslcore s':>10}{'torch s':>10}{'ratio':>8}{'above':>10}{'above':>10}")
    for what, count, samples, width, classes, l2 in PROBLEMS:
        features, targets = problem(count, samples, width, classes)
        solvers: dict[str, Callable[[], Tensor]] = {
            "sslcore": lambda: fit(features, targets, classes, l2=l2),  # noqa: B023
            "torch": lambda: by_torch(features, targets, classes, l2),  # noqa: B023
        }
        seconds: dict[str, list[float]] = {name: [] for name in solvers}
        reached: dict[str, float] = {}
        for _ in range(turns):
            for name, solve in solvers.items():
                started = time.perf_counter()
                weights = solve()
                seconds[name].append(time.perf_counter() - started)
                exact = (item.double() for item in (features, weights))
                reached[name] = float(objective(next(exact), targets, next(exact), l2))
        best = min(reached.values())
        ours, theirs = (statistics.median(seconds[name]) for name in ("sslcore", "torch"))
        above = [(reached[name] - best) / (count * samples) for name in ("sslcore", "torch")]
        print(
            f"{what:<34}{ours:>10.3f}{theirs:>10.3f}{theirs / ours:>8.2f}"
            f"{above[0]:>10.1e}{above[1]:>10.1e}"
        )


if __name__ == "__main__":
    main()
