"""Projections compared with the features of a teacher, view by view."""

from __future__ import annotations

from torch import Tensor, nn

from sslcore.functional import unit_rows


class TeacherCosine(nn.Module):
    """Cosine distance of a student's projections from a teacher's features of the same view.

    Ranzinger et al. 2024, section 3, the loss of summary features: with p a projection and t the
    teacher's features of the same view,

        L = 1 − cos(p, t),

    averaged over views and images; 0 where all directions agree. No gradient reaches the teacher.

    Raises:
        ValueError: (when called) the signals are not float of one shape (V, B, D).
    """

    def forward(self, projections: Tensor, teacher_features: Tensor) -> Tensor:
        """Compare `projections` (V, B, D) with `teacher_features` (V, B, D), as a scalar."""
        shape, other = tuple(projections.shape), tuple(teacher_features.shape)
        if shape != other or len(shape) != 3 or not projections.numel():
            raise ValueError(
                "projections and teacher_features must be of one shape (V, B, D), got "
                f"{shape} and {other}"
            )
        if not (projections.is_floating_point() and teacher_features.is_floating_point()):
            raise ValueError(
                "projections and teacher_features must be float, got "
                f"{projections.dtype} and {teacher_features.dtype}"
            )
        cosines = (unit_rows(projections) * unit_rows(teacher_features.detach())).sum(-1)
        return (1 - cosines.mean()).to(projections.dtype)
