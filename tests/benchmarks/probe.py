"""The linear probe's solver against scikit-learn's: seconds, and the final objective.

    python tests/benchmarks/probe.py                              # every case, three turns
    python tests/benchmarks/probe.py --only digits draws --turns 9

In each turn, both solve the same problem from zero, one after the other; the order is reversed in
every second turn. Prints one JSON line per problem: the median seconds of each, the ratio of
scikit-learn's to sslcore's, the objective that each reached (nats per image, evaluated in float64)
and the difference. Both get float32 features.

The case `draws` is the probe with five labels per class: ten small problems. sslcore solves them
together, scikit-learn one after the other.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from sslcore_probes.linear import draw_per_class
from sslcore_probes.scaling import standardize
from sslcore_probes.softmax_regression import fit, logits

PENALTIES = (1e4, 1e2, 1.0, 1e-2)
MAX_ITERATIONS = 300
CASES = ("digits", "draws", "10-classes", "100-classes")

#: (P, N, F) features, (P, N) targets, the number of classes and the penalty.
Problem = tuple[Tensor, Tensor, int, float]


def scikit_learn(problem: Problem) -> Tensor:
    """Return the weights (P, K, F + 1) that scikit-learn finds for each problem in turn."""
    features, targets, _, l2 = problem
    found = []
    for rows, classes in zip(features.numpy(), targets.numpy(), strict=True):
        fitted = LogisticRegression(C=1 / l2, max_iter=MAX_ITERATIONS).fit(rows, classes)
        bias = torch.tensor(fitted.intercept_)[:, None]
        found.append(torch.cat([torch.tensor(fitted.coef_), bias], 1))
    return torch.stack(found)


def objective_per_image(problem: Problem, weights: Tensor) -> float:
    """Return the mean over P of cross-entropy plus penalty, in nats per image, in float64."""
    features, targets, _, l2 = problem
    found = []
    for rows, classes, each in zip(features, targets, weights.double(), strict=True):
        cross_entropy = F.cross_entropy(logits(rows.double(), each).T, classes, reduction="sum")
        penalty = l2 / 2 * each[:, :-1].square().sum()
        found.append(float(cross_entropy + penalty) / len(rows))
    return statistics.mean(found)


def problems(case: str) -> Iterator[Problem]:
    """Yield the problems of one case, one for each penalty."""
    if case in ("digits", "draws"):
        pixels, labels = load_digits(return_X_y=True)
        features, targets = _wide(torch.tensor(pixels[:1347]).float()), torch.tensor(labels[:1347])
    else:
        features, targets = _synthetic(50_000, int(case.partition("-")[0]))
    num_classes = int(targets.max()) + 1
    rows = torch.arange(len(targets))[None]
    if case == "draws":
        rows = draw_per_class(targets, 5, 10, torch.Generator().manual_seed(0))
    for l2 in (1.0,) if case == "draws" else PENALTIES:
        yield features[rows], targets[rows], num_classes, l2


def _wide(inputs: Tensor) -> Tensor:
    """Return 512 standardised random rectified features (N, 512) of inputs (N, D)."""
    inputs, _ = standardize(inputs, inputs)
    generator = torch.Generator().manual_seed(0)
    mixed = inputs @ torch.randn(inputs.shape[1], 512, generator=generator)
    features, _ = standardize(mixed.relu(), mixed)
    return features


def _synthetic(count: int, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return features (count, 512) of overlapping classes, and targets (count,)."""
    generator = torch.Generator().manual_seed(1)
    targets = torch.arange(count) % num_classes
    means = 0.5 * torch.randn(num_classes, 64, generator=generator)
    return _wide(means[targets] + torch.randn(count, 64, generator=generator)), targets


def compare(case: str, problem: Problem, options: argparse.Namespace) -> None:
    """Solve one problem with both solvers in turns, and print a line."""
    features, targets, num_classes, l2 = problem
    solvers: dict[str, Callable[[], Tensor]] = {
        "sslcore": lambda: fit(features, targets, num_classes, l2=l2),
        "scikit-learn": lambda: scikit_learn(problem),
    }
    seconds: dict[str, list[float]] = {name: [] for name in solvers}
    reached: dict[str, float] = {}
    for turn in range(options.turns):
        for name in sorted(solvers, reverse=bool(turn % 2)):
            started = time.perf_counter()
            weights = solvers[name]()
            seconds[name].append(time.perf_counter() - started)
            reached[name] = objective_per_image(problem, weights)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    line = {
        "case": case,
        "problems": len(features),
        "images": features.shape[1],
        "features": features.shape[2],
        "classes": num_classes,
        "l2": l2,
        **{f"{name} seconds": round(value, 4) for name, value in medians.items()},
        "scikit-learn / sslcore": round(medians["scikit-learn"] / medians["sslcore"], 2),
        **{f"{name} objective": round(value, 7) for name, value in reached.items()},
        "scikit-learn − sslcore objective": float(
            f"{reached['scikit-learn'] - reached['sslcore']:.1e}"
        ),
        "turns": options.turns,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps(line, ensure_ascii=False), flush=True)


def main() -> None:
    """Compare the solvers on each problem of each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    for case in options.only:
        for problem in problems(case):
            compare(case, problem, options)


if __name__ == "__main__":
    main()
