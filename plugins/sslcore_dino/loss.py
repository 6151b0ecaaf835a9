"""The loss of DINO: self-distillation with centring and sharpening."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from sslcore.functional import without_autocast


def self_distillation(
    student: Tensor,
    teacher: Tensor,
    student_temperature: float,
    teacher_temperature: float,
    centre: Tensor | None = None,
) -> Tensor:
    """Return the mean over pairs of different views of H(P_t, P_s) (equations (1) to (3)).

    With P_s = softmax(s / τ_s) of a student's view and P_t = softmax((t − c) / τ_t) of a teacher's
    view, H = −Σ P_t log P_s. No gradient reaches the teacher. It is computed in float32 or wider.

    Args:
        student: logits s (V, B, K).
        teacher: logits t (T, B, K) of the first T ≤ V of these views.
        student_temperature: τ_s > 0.
        teacher_temperature: τ_t > 0.
        centre: c (K,); zero where there is none.

    Returns:
        A scalar of the type of the student's logits.

    Raises:
        ValueError: the shapes don't belong together, or there is no pair of different views.
    """
    _check(student, teacher)
    exact = torch.promote_types(student.dtype, torch.float32)
    with without_autocast(student.device):
        logits = teacher.detach().to(exact)
        if centre is not None:
            logits = logits - centre.to(exact)
        wanted = (logits / teacher_temperature).softmax(-1)
        found = (student.to(exact) / student_temperature).log_softmax(-1)
        # All pairs of a teacher's and a student's view, less those of a view with itself.
        entropies = -torch.einsum("tbk,vbk->tv", wanted, found)
        own = torch.eye(*entropies.shape, dtype=torch.bool, device=entropies.device)
        pairs = entropies.numel() - len(teacher)
        total = entropies.masked_fill(own, 0).sum() / (pairs * student.shape[1])
    return total.to(student.dtype)


def _check(student: Tensor, teacher: Tensor) -> None:
    shapes = f"got {tuple(student.shape)} and {tuple(teacher.shape)}"
    if student.dim() != 3 or teacher.dim() != 3 or student.shape[1:] != teacher.shape[1:]:
        raise ValueError(
            "projections and teacher_projections must be (V, B, K) and (T, B, K), with the same "
            f"images and dimensions, {shapes}"
        )
    if not 1 <= len(teacher) <= len(student) or len(student) < 2:
        raise ValueError(
            "the teacher's views must be the first of the student's, and the student needs at "
            f"least two, {shapes}"
        )
    if student.shape[1] < 1 or student.shape[2] < 1:
        raise ValueError(f"there is nothing to compare, {shapes}")


class DINO(nn.Module):
    """Self-distillation with centring and sharpening (DINO, equations (1) to (4)).

    The teacher's logits are centred, c ← m c + (1 − m) mean of its logits over views and images
    (equation (4)), which keeps one dimension from dominating, and sharpened by a low temperature,
    which keeps them from becoming uniform.

    Args:
        projection_dim: length of a projection, K.
        student_temperature: τ_s, divisor of the student's projections, > 0.
        teacher_temperature: τ_t at the start, > 0.
        final_teacher_temperature: τ_t after its warm-up, > 0; none keeps it constant. The paper
            goes up to 0.07 in its longest runs; higher values end in a uniform teacher sooner.
        temperature_warmup: part of training in which τ_t moves linearly from the one to the
            other, in [0, 1]; the paper has 30 epochs of 300.
        centre_momentum: m, in [0, 1].

    Raises:
        ValueError: a temperature is not positive, or (when called) the shapes don't fit.
    """

    centre: Tensor

    def __init__(
        self,
        projection_dim: int,
        *,
        student_temperature: Annotated[float, Gt(0)] = 0.1,
        teacher_temperature: Annotated[float, Gt(0)] = 0.04,
        final_teacher_temperature: Annotated[float, Gt(0)] | None = None,
        temperature_warmup: Annotated[float, Ge(0), Le(1)] = 0.1,
        centre_momentum: Annotated[float, Ge(0), Le(1)] = 0.9,
    ) -> None:
        super().__init__()
        last = final_teacher_temperature
        self.temperatures = (teacher_temperature, teacher_temperature if last is None else last)
        given = (student_temperature, *self.temperatures)
        if not min(given) > 0:
            raise ValueError(f"temperatures must be > 0, got {given}")
        self.student_temperature = student_temperature
        self.temperature_warmup, self.centre_momentum = temperature_warmup, centre_momentum
        self.register_buffer("centre", torch.zeros(projection_dim))

    def teacher_temperature(self, progress: float) -> float:
        """Return τ_t where the part `progress` of training is done."""
        first, last = self.temperatures
        if progress >= self.temperature_warmup:
            return last
        return first + (last - first) * progress / self.temperature_warmup

    def forward(
        self, projections: Tensor, teacher_projections: Tensor, progress: float = 0.0
    ) -> Tensor:
        """Score `projections` (V, B, K) against `teacher_projections` (T, B, K), T ≤ V.

        In training mode the centre moves afterwards.
        """
        loss = self_distillation(
            projections,
            teacher_projections,
            self.student_temperature,
            self.teacher_temperature(progress),
            self.centre,
        )
        if self.training:
            mean = teacher_projections.detach().flatten(0, 1).mean(0)
            self.centre.lerp_(mean.to(self.centre.dtype), 1 - self.centre_momentum)
        return loss
