"""Broken cross-entropies, from −Σ_k q_k log p_k; each is named after its fault."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.common_mutants import Loss, careful, common_mutants
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper, Mutant

SIGNALS = ("logits", "labels")

#: Of logits (V, B, K), labels (B,) and ε.
Score = Callable[[Tensor, Tensor, float], Tensor]


def _refuse_shapes(inputs: Inputs) -> None:
    logits, labels = inputs["logits"], inputs["labels"]
    if logits.dim() != 3 or logits.numel() == 0 or labels.shape != logits.shape[1:2]:
        raise ValueError("expected logits (V, B, K) and labels (B,)")


def _refuse(inputs: Inputs) -> None:
    _refuse_shapes(inputs)
    labels = inputs["labels"]
    if int(labels.min()) < 0 or int(labels.max()) >= inputs["logits"].shape[-1]:
        raise ValueError("a label is no class")


def _of(score: Score, refuse: Callable[[Inputs], None] = _refuse) -> Loss:
    return careful(
        lambda inputs, hyper: score(inputs["logits"], inputs["labels"], hyper["label_smoothing"]),
        refuse,
    )


def _onehot(z: Tensor, y: Tensor) -> Tensor:
    return F.one_hot(y, z.shape[-1]).to(z)


def _target(z: Tensor, y: Tensor, smoothing: float) -> Tensor:
    return (1 - smoothing) * _onehot(z, y) + smoothing / z.shape[-1]


def _each(z: Tensor, y: Tensor, smoothing: float) -> Tensor:
    """Return the loss of each row, (V, B)."""
    return -(_target(z, y, smoothing) * z.log_softmax(-1)).sum(-1)


def _mean(z: Tensor, y: Tensor, smoothing: float) -> Tensor:
    return _each(z, y, smoothing).mean()


def _rows(change: Callable[[Tensor], Tensor]) -> Loss:
    """Return a loss from the losses of the rows, (V, B)."""
    return _of(lambda z, y, s: change(_each(z, y, s)))


def _logits(change: Callable[[Tensor], Tensor]) -> Loss:
    """Return the loss of changed logits."""
    return _of(lambda z, y, s: _mean(change(z), y, s))


def _towards(target: Score) -> Loss:
    """Return the cross-entropy with a target of its own, (B, K)."""
    return _of(lambda z, y, s: -(target(z, y, s) * z.log_softmax(-1)).sum(-1).mean())


def _log_of(change: Callable[[Tensor], Tensor]) -> Loss:
    """Return the cross-entropy with the logarithm of changed probabilities."""
    return _of(lambda z, y, s: -(_target(z, y, s) * change(z.softmax(-1)).log()).sum(-1).mean())


def _over_the_others(z: Tensor, y: Tensor, s: float) -> Tensor:
    own = _onehot(z, y)
    return (1 - s) * own + s * (1 - own) / max(1, z.shape[-1] - 1)


def _binary(z: Tensor, y: Tensor, s: float) -> Tensor:
    target = _target(z, y, s).expand_as(z)
    return F.binary_cross_entropy_with_logits(z, target, reduction="none").sum(-1).mean()


def _without_own(z: Tensor, y: Tensor, s: float) -> Tensor:
    others = z.masked_fill(_onehot(z, y).bool(), -1e4).logsumexp(-1)
    return (others - (z * _target(z, y, s)).sum(-1)).mean()


def _certainty_punished(z: Tensor, y: Tensor, s: float) -> Tensor:
    likely = z.softmax(-1)
    entropy: Tensor = torch.special.entr(likely)
    return _mean(z, y, s) - 0.01 * entropy.sum(-1).mean()


def _focal(z: Tensor, y: Tensor, s: float) -> Tensor:
    sure = (z.softmax(-1) * _onehot(z, y)).sum(-1)
    return ((1 - sure) ** 0.1 * _each(z, y, s)).mean()


def _sure_rows_left_out(z: Tensor, y: Tensor, s: float) -> Tensor:
    unsure = ((z.softmax(-1) * _onehot(z, y)).sum(-1) < 0.9).to(z)
    return (_each(z, y, s) * unsure).sum() / unsure.sum().clamp_min(1)


def _weighted_classes(z: Tensor, y: Tensor, s: float) -> Tensor:
    weights = torch.linspace(0.9, 1.1, z.shape[-1], dtype=z.dtype)[y]
    return (_each(z, y, s) * weights).mean() / weights.mean()


def _balanced_classes(z: Tensor, y: Tensor, s: float) -> Tensor:
    each = _each(z, y, s)
    return torch.stack([each[:, y == label].mean() for label in y.unique()]).mean()


def _weighted_positions(each: Tensor) -> Tensor:
    weights = torch.linspace(0.9, 1.1, each.shape[1], dtype=each.dtype)
    return (each * weights).mean() / weights.mean()


def _without_the_last(each: Tensor) -> Tensor:
    return each[:, : max(1, each.shape[1] - 1)].mean()


def _chunks_averaged(each: Tensor) -> Tensor:
    return torch.stack([part.mean() for part in each.flatten().split(64)]).mean()


def _overflowing(z: Tensor, y: Tensor, s: float) -> Tensor:
    return (z.exp().sum(-1).log() - (z * _target(z, y, s)).sum(-1)).mean()


def _smoothing_detached(z: Tensor, y: Tensor, s: float) -> Tensor:
    return (1 - s) * _mean(z, y, 0.0) + s * _mean(z.detach(), y, 1.0)


def _denominator_detached(z: Tensor, y: Tensor, s: float) -> Tensor:
    return (z.detach().logsumexp(-1) - (z * _target(z, y, s)).sum(-1)).mean()


def _in_the_type_given(inputs: Inputs, hyper: Hyper) -> Tensor:
    _refuse(inputs)
    return _overflowing(inputs["logits"], inputs["labels"], hyper["label_smoothing"])


def _cut_to_the_shorter(inputs: Inputs, hyper: Hyper) -> Tensor:
    logits, labels = inputs["logits"], inputs["labels"]
    count = min(logits.shape[1], len(labels))
    return _CORRECT({"logits": logits[:, :count], "labels": labels[:count]}, hyper)


def _one_label_for_all(inputs: Inputs, hyper: Hyper) -> Tensor:
    labels = inputs["labels"]
    if labels.shape == (1,):
        labels = labels.expand(inputs["logits"].shape[1])
    return _CORRECT({**inputs, "labels": labels}, hyper)


def _nothing_of_nothing(inputs: Inputs, hyper: Hyper) -> Tensor:
    return _CORRECT(inputs, hyper) if inputs["labels"].numel() else inputs["logits"].sum()


def _relabelled(change: Callable[[Tensor, int], Tensor]) -> Loss:
    """Return a loss that makes classes of labels that are none."""
    return _of(lambda z, y, s: _mean(z, change(y, z.shape[-1]), s), _refuse_shapes)


def _ignoring(z: Tensor, y: Tensor, s: float) -> Tensor:
    return F.cross_entropy(z.flatten(0, 1), y.repeat(len(z)), label_smoothing=s)


def _with_rows(choose: Callable[[Inputs, slice], Inputs]) -> Callable[..., object]:
    """Return what makes a loss that scores a wrong choice of rows."""

    def make(label_smoothing: float) -> Callable[..., Tensor]:
        def loss(logits: Tensor, labels: Tensor, rows: slice | None = None) -> Tensor:
            inputs = {"logits": logits, "labels": labels}
            if rows is not None:
                inputs = choose(inputs, rows)
            return _CORRECT(inputs, {"label_smoothing": label_smoothing})

        return loss

    return make


def _first_rows(inputs: Inputs, rows: slice) -> Inputs:
    count = rows.stop - rows.start
    return {"logits": inputs["logits"][:, :count], "labels": inputs["labels"][:count]}


def _labels_of_the_first_rows(inputs: Inputs, rows: slice) -> Inputs:
    count = rows.stop - rows.start
    return {"logits": inputs["logits"][:, rows], "labels": inputs["labels"][:count]}


def _plain(function: Callable[..., Tensor]) -> Callable[[Hyper], Callable[..., Tensor]]:
    def of(hyper: Hyper) -> Callable[..., Tensor]:
        return lambda input, target: function(input, target, hyper)

    return of


def _plain_cut(logits: Tensor, labels: Tensor, hyper: Hyper) -> Tensor:
    return _cut_to_the_shorter({"logits": logits[None], "labels": labels}, hyper)


def _plain_one_for_all(logits: Tensor, labels: Tensor, hyper: Hyper) -> Tensor:
    return _one_label_for_all({"logits": logits[None], "labels": labels}, hyper)


_CORRECT = _of(_mean)
#: The correct loss; every variant but the plain ones adds a fault to it.
CONTROL = Mutant("no-fault", _CORRECT)

_ROWS = "rows-are-scored-alone"

MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_CORRECT, SIGNALS, "logits"),
    Mutant("sum-for-mean", _rows(lambda each: each.sum())),
    Mutant("sum-over-views", _rows(lambda each: each.mean(1).sum())),
    Mutant("one-row-too-many-in-the-count", _rows(lambda each: each.sum() / (each.numel() + 1))),
    Mutant("mean-over-classes", _of(lambda z, y, s: _mean(z, y, s) / z.shape[-1])),
    Mutant("relative-to-log-k", _of(lambda z, y, s: _mean(z, y, s) - math.log(z.shape[-1]))),
    Mutant("base-2", _rows(lambda each: each.mean() / math.log(2))),
    Mutant("squared", _rows(lambda each: each.square().mean())),
    Mutant("worst-row-only", _rows(lambda each: each.amax())),
    Mutant("first-view-only", _rows(lambda each: each[:1].mean())),
    Mutant("first-image-only", _rows(lambda each: each[:, :1].mean())),
    Mutant("last-image-left-out", _rows(_without_the_last)),
    Mutant("chunks-averaged-unweighted", _rows(_chunks_averaged)),
    Mutant("images-weighted-by-position", _rows(_weighted_positions)),
    Mutant("labels-of-the-next-image", _of(lambda z, y, s: _mean(z, y.roll(1), s))),
    Mutant("labels-off-by-one", _of(lambda z, y, s: _mean(z, (y + 1) % z.shape[-1], s))),
    Mutant("labels-ignored", _of(lambda z, y, s: _mean(z, 0 * y, s))),
    Mutant("classes-weighted", _of(_weighted_classes)),
    Mutant("classes-balanced", _of(_balanced_classes)),
    Mutant("softmax-over-images", _logits(lambda z: z.log_softmax(1))),
    Mutant("softmax-twice", _logits(lambda z: z.softmax(-1))),
    Mutant("sigmoid-of-each-class", _of(_binary)),
    Mutant("probability-for-its-logarithm", _log_of(lambda p: (p - 1).exp())),
    Mutant("epsilon-in-the-logarithm", _log_of(lambda p: p + 1e-8)),
    Mutant("probabilities-clamped", _log_of(lambda p: p.clamp(1e-7, 1 - 1e-7))),
    Mutant("own-class-left-out-of-the-denominator", _of(_without_own)),
    Mutant("focal", _of(_focal)),
    Mutant("sure-rows-left-out", _of(_sure_rows_left_out)),
    Mutant("a-temperature", _logits(lambda z: z / 0.9)),
    Mutant("logits-clamped", _logits(lambda z: z.clamp(-30, 30))),
    Mutant("logits-squashed", _logits(lambda z: 30 * (z / 30).tanh())),
    Mutant("logits-centred-over-the-batch", _logits(lambda z: z - z.mean(1, keepdim=True))),
    Mutant("unit-logits", _logits(lambda z: F.normalize(z, dim=-1))),
    Mutant("margin-of-the-own-class", _of(lambda z, y, s: _mean(z - 0.1 * _onehot(z, y), y, s))),
    Mutant(
        "decay-of-logits",
        _of(lambda z, y, s: _mean(z, y, s) + 1e-4 * z.logsumexp(-1).square().mean()),
    ),
    Mutant("certainty-punished", _of(_certainty_punished)),
    Mutant("smoothing-ignored", _of(lambda z, y, s: _mean(z, y, 0.0))),
    Mutant("smoothing-fixed", _of(lambda z, y, s: _mean(z, y, 0.1))),
    Mutant("smoothing-doubled", _of(lambda z, y, s: _mean(z, y, 2 * s))),
    Mutant("smoothing-over-the-other-classes", _towards(_over_the_others)),
    Mutant("smoothing-added", _towards(lambda z, y, s: _onehot(z, y) + s / z.shape[-1])),
    Mutant("smoothing-not-divided", _towards(lambda z, y, s: (1 - s) * _onehot(z, y) + s)),
    Mutant(
        "smoothing-subtracted", _towards(lambda z, y, s: (1 + s) * _onehot(z, y) - s / z.shape[-1])
    ),
    Mutant("smoothing-detached", _of(_smoothing_detached)),
    Mutant("denominator-detached", _of(_denominator_detached)),
    Mutant("overflowing-exponentials", _of(_overflowing)),
    Mutant("computed-in-the-type-given", _in_the_type_given),
    Mutant("cuts-to-the-shorter", _cut_to_the_shorter, checks_shapes=False),
    Mutant("one-label-for-all", _one_label_for_all, checks_shapes=False),
    Mutant("nothing-of-nothing", _nothing_of_nothing, checks_shapes=False),
    Mutant("labels-clamped", _relabelled(lambda y, classes: y.clamp(0, classes - 1))),
    Mutant("labels-wrapped-around", _relabelled(lambda y, classes: y % classes)),
    Mutant("minus-100-ignored", _of(_ignoring, _refuse_shapes)),
    Mutant("rows-ignored", make=_with_rows(lambda inputs, rows: inputs), needs=_ROWS),
    Mutant("rows-from-the-first", make=_with_rows(_first_rows), needs=_ROWS),
    Mutant("labels-from-the-first", make=_with_rows(_labels_of_the_first_rows), needs=_ROWS),
    Mutant("plain-cuts-to-the-shorter", plain=_plain(_plain_cut)),
    Mutant("plain-one-label-for-all", plain=_plain(_plain_one_for_all)),
)
