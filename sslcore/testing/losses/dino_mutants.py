"""Broken DINO losses, from equations 1 to 4; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.common_mutants import Loss, careful, common_mutants, exact
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper, Mutant

SIGNALS = ("projections", "teacher_projections")
#: Turns logits (V, B, K) and a temperature into probabilities or their logarithms.
Distribution = Callable[[Tensor, float], Tensor]
#: Turns the cross-entropies of teacher and student views (2, V, B) into the loss.
Reduction = Callable[[Tensor], Tensor]


def _refuse(inputs: Inputs) -> None:
    student, teacher = inputs["projections"], inputs["teacher_projections"]
    if student.dim() != 3 or teacher.dim() != 3 or len(student) < 2 or student.numel() == 0:
        raise ValueError("projections must be (V, B, K) with V of at least 2")
    if len(teacher) != 2 or student.shape[1:] != teacher.shape[1:]:
        raise ValueError("teacher projections must be (2, B, K) with the student's B and K")


def _different(entropies: Tensor) -> Tensor:
    """Return the cross-entropies of different views, (2V − 2, B)."""
    same = torch.eye(2, entropies.shape[1], dtype=torch.bool)
    return entropies[~same]


def _mean_of_different(entropies: Tensor) -> Tensor:
    return _different(entropies).mean()


def _teacher(logits: Tensor, temperature: float) -> Tensor:
    return (logits / temperature).softmax(-1)


def _student(logits: Tensor, temperature: float) -> Tensor:
    return (logits / temperature).log_softmax(-1)


def _with(
    *,
    teacher: Distribution = _teacher,
    student: Distribution = _student,
    reduction: Reduction = _mean_of_different,
    stop: bool = True,
    change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda s, t: (s, t),
    temperatures: Callable[[float, float], tuple[float, float]] = lambda s, t: (s, t),
    entropy: Callable[[Tensor, Tensor], Tensor] = lambda p, logq: -(p * logq).sum(-1),
) -> Loss:
    """Return the loss with a piece of it replaced."""

    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        for_student, for_teacher = temperatures(
            hyper["student_temperature"], hyper["teacher_temperature"]
        )
        logits, targets = change(inputs["projections"], inputs["teacher_projections"])
        wanted = teacher(targets, for_teacher)
        wanted = wanted.detach() if stop else wanted
        return reduction(entropy(wanted[:, None], student(logits, for_student)[None]))

    return careful(loss, _refuse)


def _centred(logits: Tensor, temperature: float) -> Tensor:
    return _teacher(logits - logits.mean((0, 1)), temperature)


def _sharpened(logits: Tensor, temperature: float) -> Tensor:
    hard = _teacher(logits, temperature).argmax(-1)
    return F.one_hot(hard, logits.shape[-1]).to(logits.dtype)


def _assigned(logits: Tensor, temperature: float) -> Tensor:
    """One Sinkhorn step: all dimensions get the same total over the batch."""
    wanted = _teacher(logits, temperature)
    wanted = wanted / wanted.sum((0, 1)).clamp_min(1e-9)
    return wanted / wanted.sum(-1, keepdim=True).clamp_min(1e-9)


def _over_samples(logits: Tensor, temperature: float) -> Tensor:
    return (logits / temperature).log_softmax(1)


def _naive_logarithm(logits: Tensor, temperature: float) -> Tensor:
    return (logits / temperature).softmax(-1).log()


def _logarithm_with_epsilon(logits: Tensor, temperature: float) -> Tensor:
    return ((logits / temperature).softmax(-1) + 1e-6).log()


def _naive_exponentials(logits: Tensor, temperature: float) -> Tensor:
    weights = (logits / temperature).exp()
    return weights / weights.sum(-1, keepdim=True)


def _divergence(p: Tensor, logq: Tensor) -> Tensor:
    result: Tensor = (torch.special.xlogy(p, p) - p * logq).sum(-1)
    return result


def _backwards(p: Tensor, logq: Tensor) -> Tensor:
    return -(logq.exp() * (p + 1e-9).log()).sum(-1)


def _uneven(entropies: Tensor) -> Tensor:
    """Give each pair of global views the weight of all local pairs together."""
    first, second = entropies[0, 1], entropies[1, 0]
    rest = entropies[:, 2:].flatten(0, 1)
    parts = [first.mean(), second.mean(), *([rest.mean()] if len(rest) else [])]
    return torch.stack(parts).mean() * (0.98 if len(rest) == 0 else 1.0)


def _clipped_gradient(entropies: Tensor) -> Tensor:
    values = _different(entropies)
    return torch.where(values < 2, values, values.detach()).mean()


def _in_the_type_given(inputs: Inputs, hyper: Hyper) -> Tensor:
    _refuse(inputs)
    student, teacher = inputs["projections"], inputs["teacher_projections"].detach()
    wanted = _teacher(teacher * (1 / hyper["teacher_temperature"]), 1.0)
    powers = (student / hyper["student_temperature"]).exp()
    log_sum = powers.sum(-1, keepdim=True).log()
    entropies = -(wanted[:, None] * (student / hyper["student_temperature"] - log_sum)).sum(-1)
    return _mean_of_different(entropies)


def _plainly(hyper: Hyper, student: Tensor, teacher: Tensor) -> Tensor:
    if not student.numel():
        raise ValueError("nothing to compare")
    wanted = _teacher(exact(teacher.detach()), hyper["teacher_temperature"])
    logs = _student(exact(student), hyper["student_temperature"])
    return -(wanted * logs).sum(-1).mean().to(student.dtype)


def _broadcasting(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda student, teacher: _plainly(hyper, student, teacher)


def _cut_to_the_shorter(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        count = min(len(student), len(teacher))
        return _plainly(hyper, student[:count], teacher[:count])

    return loss


_CORRECT = _with()
#: The correct loss; every variant but the plain ones adds a fault to it.
CONTROL = Mutant("no-fault", _CORRECT)

MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_CORRECT, SIGNALS, "projections"),
    Mutant("view-against-itself-as-well", _with(reduction=lambda e: e.mean())),
    Mutant(
        "view-against-itself-only",
        _with(reduction=lambda e: torch.stack([e[0, 0], e[1, 1]]).mean()),
    ),
    Mutant(
        "same-views-zeroed-but-counted",
        _with(reduction=lambda e: (_different(e).sum(0) / (2 * e.shape[1])).mean()),
    ),
    Mutant("one-teacher-view-only", _with(reduction=lambda e: e[0, 1:].mean())),
    Mutant(
        "first-two-student-views-only",
        _with(
            reduction=lambda e: (
                torch.stack([e[0, 1], e[1, 0]]).mean()
                if e.shape[1] > 2
                else _mean_of_different(e) * 1.001
            )
        ),
    ),
    Mutant("kinds-of-views-weighted-alike", _with(reduction=_uneven)),
    Mutant("sum-over-samples", _with(reduction=lambda e: _different(e).mean(0).sum())),
    Mutant("sum-over-samples-and-pairs", _with(reduction=lambda e: _different(e).sum())),
    Mutant("sum-over-student-views", _with(reduction=lambda e: _mean_of_different(e) * e.shape[1])),
    Mutant("half-of-it", _with(reduction=lambda e: _mean_of_different(e) / 2)),
    Mutant("mean-over-dimensions", _with(entropy=lambda p, logq: -(p * logq).mean(-1))),
    Mutant("hardest-sample-only", _with(reduction=lambda e: _different(e).amax(1).mean())),
    Mutant(
        "last-sample-dropped",
        _with(reduction=lambda e: _different(e[..., : max(1, e.shape[-1] - 1)]).mean()),
    ),
    Mutant(
        "last-chunk-dropped",
        _with(reduction=lambda e: _different(e[..., : max(4, e.shape[-1] // 4 * 4)]).mean()),
    ),
    Mutant("temperatures-swapped", _with(temperatures=lambda s, t: (t, s))),
    Mutant("student-temperature-missing", _with(temperatures=lambda s, t: (1.0, t))),
    Mutant("teacher-temperature-missing", _with(temperatures=lambda s, t: (s, 1.0))),
    Mutant("student-temperature-for-both", _with(temperatures=lambda s, t: (s, s))),
    Mutant("temperatures-fixed", _with(temperatures=lambda s, t: (0.1, 0.04))),
    Mutant("temperatures-inverted", _with(temperatures=lambda s, t: (1 / s, 1 / t))),
    Mutant("teacher-temperature-squared", _with(temperatures=lambda s, t: (s, t * t))),
    Mutant("teacher-temperature-clamped", _with(temperatures=lambda s, t: (s, max(t, 0.07)))),
    Mutant("temperature-times-loss", _with(student=lambda x, t: t * _student(x, t))),
    Mutant("temperature-after-the-softmax", _with(student=lambda x, t: x.log_softmax(-1) / t)),
    Mutant("teacher-centred-by-this-batch", _with(teacher=_centred)),
    Mutant("student-centred", _with(change=lambda s, t: (s - s.mean((0, 1)), t))),
    Mutant("teacher-made-hard", _with(teacher=_sharpened)),
    Mutant("teacher-assigned-evenly", _with(teacher=_assigned)),
    Mutant("teacher-not-a-distribution", _with(teacher=lambda x, t: x / t)),
    Mutant("teacher-sigmoid", _with(teacher=lambda x, t: (x / t).sigmoid())),
    Mutant("teacher-uniform", _with(teacher=lambda x, t: torch.ones_like(x) / x.shape[-1])),
    Mutant("teacher-over-samples", _with(teacher=lambda x, t: (x / t).softmax(1))),
    Mutant("student-over-samples", _with(student=_over_samples)),
    Mutant("student-probabilities-for-logarithms", _with(student=lambda x, t: (x / t).softmax(-1))),
    Mutant("student-logits-for-logarithms", _with(student=lambda x, t: x / t)),
    Mutant("student-rows-normalised", _with(change=lambda s, t: (F.normalize(s, dim=-1), t))),
    Mutant("teacher-rows-normalised", _with(change=lambda s, t: (s, F.normalize(t, dim=-1)))),
    Mutant("logarithm-of-a-softmax", _with(student=_naive_logarithm)),
    Mutant("logarithm-with-epsilon", _with(student=_logarithm_with_epsilon)),
    Mutant("naive-exponentials", _with(teacher=_naive_exponentials)),
    Mutant("divergence-for-cross-entropy", _with(entropy=_divergence)),
    Mutant("student-and-teacher-swapped", _with(entropy=_backwards)),
    Mutant("squared-difference", _with(entropy=lambda p, logq: (p - logq.exp()).square().sum(-1))),
    Mutant("samples-mispaired", _with(change=lambda s, t: (s, t.roll(1, 1)))),
    Mutant("teacher-of-the-first-sample", _with(change=lambda s, t: (s, t[:, :1].expand_as(t)))),
    Mutant("teacher-views-swapped", _with(change=lambda s, t: (s, t.flip(0)))),
    Mutant("dimensions-mispaired", _with(change=lambda s, t: (s, t.roll(1, -1)))),
    Mutant("teacher-trained", _with(stop=False)),
    Mutant("student-detached", _with(change=lambda s, t: (s.detach(), t))),
    Mutant(
        "second-view-detached",
        _with(change=lambda s, t: (torch.cat([s[:1], s[1:2].detach(), s[2:]]), t)),
    ),
    Mutant(
        "later-views-detached", _with(change=lambda s, t: (torch.cat([s[:2], s[2:].detach()]), t))
    ),
    Mutant(
        "normalisation-detached",
        _with(student=lambda x, t: x / t - (x / t).logsumexp(-1, keepdim=True).detach()),
    ),
    Mutant("gradient-of-large-terms-lost", _with(reduction=_clipped_gradient)),
    Mutant("computed-in-the-type-given", _in_the_type_given),
    Mutant("broadcasts", plain=_broadcasting),
    Mutant("cuts-to-the-shorter", plain=_cut_to_the_shorter),
)
