"""Properties of methods."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from sslcore.api import train
from sslcore.testing.parts.method_subject import MethodSubject, Trained, quiet, scratch, state_of
from sslcore.testing.parts.subject import PartExample, same_bits, with_global_seed
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation


def _once(subject: MethodSubject) -> Sequence[PartExample]:
    return [PartExample()]


@declare(
    "its-names-resolve",
    "M1",
    formula="every part that it names exists, takes its settings, and gets the signals that it "
    "needs",
    kills="a mistyped name, a renamed setting, a head for another loss",
    anchors=_once,
)
def its_names_resolve(subject: MethodSubject, example: PartExample) -> None:
    recipe, _ = subject.recipe()
    if not recipe.evaluators:
        raise Violation("no evaluator accepts its outputs", subject.code)
    subject.session()


@declare(
    "training-moves-every-weight",
    "M2",
    formula="over three steps losses are finite, and every trainable weight of encoder, head and "
    "loss gets a gradient and changes",
    kills="a detached branch, a head that the loss ignores, a learning rate of 0",
    anchors=_once,
)
def training_moves_every_weight(subject: MethodSubject, example: PartExample) -> None:
    trained = subject.trained
    if not trained.losses or not all(math.isfinite(loss) for loss in trained.losses):
        raise Violation(f"its losses are {trained.losses}", subject.code)
    without, unmoved = [], []
    for name, weight in trained.pipeline.named_parameters():
        if not weight.requires_grad:
            continue
        if weight.grad is None:
            without.append(name)
        elif same_bits(weight.detach(), trained.initial[name]):
            unmoved.append(name)
    if without:
        raise Violation(f"no gradient reaches {', '.join(without)}", subject.code)
    if unmoved:
        raise Violation(f"three steps did not move {', '.join(unmoved)}", subject.code)


@declare(
    "goes-on-as-if-never-stopped",
    "M3",
    formula="a run that is stopped after a step and resumed from its checkpoint gives the same "
    "bits",
    kills="a queue that is not a buffer, a counter in the loss, an average kept in Python",
    anchors=_once,
)
def goes_on_as_if_never_stopped(subject: MethodSubject, example: PartExample) -> None:
    went_on = subject.train(interrupted=True)
    _same(subject, subject.trained, went_on, "after resuming from a checkpoint")


@declare(
    "a-seed-decides",
    "M4",
    formula="two runs with one seed give the same bits in any state of the global generators; "
    "another seed gives other weights",
    kills="draws that ignore the seed, a constant in place of the seed",
    anchors=_once,
)
def a_seed_decides(subject: MethodSubject, example: PartExample) -> None:
    first = subject.trained
    again = with_global_seed(21, lambda: subject.train())
    _same(subject, first, again, "with the global generators in another state")
    other = state_of(subject.train(seed=1).pipeline)
    mine = state_of(first.pipeline)
    weights = [name for name, _ in first.pipeline.named_parameters()]
    if all(same_bits(mine[name], other[name]) for name in weights):
        raise Violation("seeds 0 and 1 end with the same weights", subject.code)


def _same(subject: MethodSubject, one: Trained, other: Trained, what: str) -> None:
    theirs = state_of(other.pipeline)
    for name, item in state_of(one.pipeline).items():
        if name not in theirs or not same_bits(item, theirs[name]):
            raise Violation(f"{name} is not the same {what}", subject.code)


def _has_teacher(subject: MethodSubject) -> str:
    return "" if subject.recipe()[0].teacher is not None else "it has no teacher"


@declare(
    "the-teacher-follows",
    "M5",
    formula="teacher ← m·teacher + (1 − m)·student after a step, with the student's buffers; it "
    "starts equal to the student and gets no gradient",
    kills="a teacher that gets a gradient, never changes, or is the student itself",
    precondition="it has a teacher",
    anchors=_once,
    applies=_has_teacher,
)
def the_teacher_follows(subject: MethodSubject, example: PartExample) -> None:
    trained = subject.trained
    teacher = subject.recipe()[0].teacher
    assert teacher is not None
    momentum = teacher.momentum
    # Duplicates too: a weight shared with the student would otherwise be listed once.
    weights = dict(trained.pipeline.named_parameters(remove_duplicate=False))
    for name, weight in weights.items():
        if not name.startswith("teacher."):
            continue
        students = name.removeprefix("teacher.")
        if weight.data_ptr() == weights[students].data_ptr():
            raise Violation(f"{name} is {students} itself", subject.code)
        if weight.requires_grad or weight.grad is not None:
            raise Violation(f"a gradient reaches {name}", subject.code)
        if not same_bits(trained.initial[name], trained.initial[students]):
            raise Violation(f"{name} does not start as {students}", subject.code)
        wanted = momentum * trained.initial[name] + (1 - momentum) * trained.first[students]
        subject.near(trained.first[name], wanted, f"{name} after a step", subject.code, 1e-5)
    # In the first step both have the same weights and inputs; only later steps show a difference.
    last = state_of(trained.pipeline)
    for name, _ in trained.pipeline.named_buffers():
        students = name.removeprefix("teacher.")
        if students != name and not same_bits(last[name], last[students]):
            raise Violation(f"{name} differs from the student's", subject.code)


@declare(
    "its-features-are-evaluated",
    "M6",
    formula="its evaluators give finite numbers for encoder, untrained encoder and pixels",
    kills="eval-mode views of another size or range, an incompatible evaluator",
    anchors=_once,
)
def its_features_are_evaluated(subject: MethodSubject, example: PartExample) -> None:
    session = subject.session()
    table, _ = subject.guarded_of_errors(session.evaluate)
    if not table:
        raise Violation("no evaluator can run on labelled images", subject.code)
    for column, metrics in table.items():
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise Violation(f"{name} of {column} is {value}", subject.code)


@declare(
    "leaves-global-state-alone",
    "M7",
    formula="a run does not change the generators of torch, numpy and Python, nor torch's switches",
    kills="a global seed, a default dtype that is not restored",
    anchors=_once,
)
def leaves_global_state_alone(subject: MethodSubject, example: PartExample) -> None:
    recipe, registry = subject.recipe()
    with scratch() as folder, subject.leaving_global_state(subject.code):
        subject.guarded_of_errors(
            lambda: train(
                config=recipe.to_dict(),
                output=folder / "run",
                registry=registry,
                console=quiet(),
                device="cpu",
                workers=0,
                evaluate=False,
            )
        )
        # A run must not leave gradients switched off for the caller.
        if not torch.is_grad_enabled():
            raise Violation("gradients are off after a run", subject.code)


METHOD = (
    its_names_resolve,
    training_moves_every_weight,
    goes_on_as_if_never_stopped,
    a_seed_decides,
    the_teacher_follows,
    its_features_are_evaluated,
    leaves_global_state_alone,
)
