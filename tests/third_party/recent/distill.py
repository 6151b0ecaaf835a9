"""Distillation by similarities (Tung & Mori 2019) in one file, from any frozen encoder."""

from torch import Tensor, nn
from torch.nn import functional as F

import sslcore


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="recent-distill",
        summary="Distance between the similarities of images, the student's and the teacher's",
        reference="Tung & Mori 2019, arXiv:1907.09682, equations (1) to (4)",
        build="distill:Similarities",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="recent-distill",
        summary="Learn which images another network finds similar",
        augmentation="light",
        encoder="small-cnn",
        head=None,
        loss="recent-distill",
        teacher=sslcore.Teacher(momentum=1.0, head=False, pretrained=True),
    )


class Similarities(nn.Module):
    def forward(self, features: Tensor, teacher_features: Tensor) -> Tensor:
        student, teacher = (
            F.normalize(rows @ rows.mT, dim=-1) for rows in (features, teacher_features)
        )
        return (student - teacher).square().sum((1, 2)).mean() / student.shape[-1] ** 2
