"""The values that the engine supplies to a loss's constructor come from its family's examples."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sslcore.testing import LossSpec
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.supplied import supplied


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"projections": (2, 5, 3)}, {"num_views": 2, "projection_dim": 3}),
        ({"predictions": (3, 5, 4)}, {"num_views": 3, "projection_dim": 4}),
        ({"features": (4, 5, 6)}, {"num_views": 4, "feature_dim": 6}),
        (
            {"reconstructions": (2, 5, 1, 8, 8)},
            {"num_views": 2, "image_size": 8, "channels": 1},
        ),
        ({"feature_maps": (2, 5, 7, 3, 4)}, {"feature_map_shape": (7, 3, 4)}),
        ({"logits": (1, 5, 3)}, {"num_views": 1, "num_classes": 3}),
        (
            {"step_predictions": (1, 4, 5, 6), "features": (4, 5, 6)},
            {"num_views": 4, "feature_dim": 6},
        ),
        # A teacher may see fewer views than the student.
        (
            {"teacher_projections": (2, 5, 3), "projections": (8, 5, 3)},
            {"num_views": 8, "projection_dim": 3},
        ),
    ],
)
def test_the_shapes_of_the_signals_tell(inputs, expected):
    assert supplied({name: torch.zeros(shape) for name, shape in inputs.items()}) == expected


def test_a_loss_gets_what_it_asks_for_and_nothing_else():
    class Scaled(nn.Module):
        def __init__(self, projection_dim: int, *, temperature: float = 0.5) -> None:
            super().__init__()
            self.register_buffer("queue", torch.zeros(3, projection_dim))
            self.temperature = temperature

        def forward(self, projections):
            return (projections @ self.queue.to(projections.dtype).T).sum() / self.temperature

    subject = LossSubject(LossSpec(make=Scaled, family="nt-xent"))
    for example in subject.family.anchors()[:6]:
        loss = subject.make(subject.adapt(example))
        assert loss.queue.shape[1] == example.inputs["projections"].shape[-1]
    # The code in the report contains them too.
    assert "make(projection_dim=2, temperature=0.5)" in subject.code(
        subject.adapt(subject.family.anchors()[0])
    )
