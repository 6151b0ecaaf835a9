"""Supervised contrastive learning as a method: labels, several processes, and a resumed run."""

from __future__ import annotations

import pytest
import torch

import sslcore
from sslcore_simclr.losses import nt_xent
from sslcore_supcon.loss import SemiSupervisedContrast, SupervisedContrast

QUICK = {
    "encoder": {"widths": (4, 8)},
    "head": {"hidden": (16,), "dim": 8},
    "training": {"epochs": 1, "batch_size": 256, "precision": "fp32", "checkpoint_every": 2},
}


def _rows(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", ["supcon", "semi-supcon"])
def test_a_killed_run_resumes_with_the_same_bits(method, resumes_with_the_same_bits):
    resumes_with_the_same_bits(method, QUICK)


def test_of_images_without_labels_it_is_the_loss_of_simclr():
    projections = _rows(2, 6, 5)
    wanted = nt_xent(projections, 0.1)
    loss = SemiSupervisedContrast()
    torch.testing.assert_close(loss(projections), wanted)
    torch.testing.assert_close(loss(projections, torch.full((6,), -1)), wanted)
    torch.testing.assert_close(SupervisedContrast()(projections, torch.arange(6)), wanted)


def test_labels_that_agree_with_the_projections_have_the_lower_loss():
    rows = torch.eye(3)[[0, 0, 1, 1, 2]].expand(2, -1, -1) + 0.1 * _rows(2, 5, 3)
    right, wrong, unknown = ([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], [0, 0, -1, -1, 2])
    loss = SupervisedContrast()
    least = loss(rows, torch.tensor(right))
    assert least < loss(rows, torch.tensor(wrong))
    assert least < loss(rows, torch.tensor(unknown))


def test_the_mean_over_parts_of_the_images_is_the_loss():
    projections, labels = _rows(3, 6, 8), torch.tensor([0, 1, 0, -1, -1, 2])
    loss = SupervisedContrast()
    parts = [
        loss(projections, labels, rows=rows) for rows in (slice(0, 2), slice(2, 4), slice(4, 6))
    ]
    torch.testing.assert_close(sum(parts) / 3, loss(projections, labels))


def test_several_labels_an_image_are_refused():
    with pytest.raises(ValueError, match="a label for each of 6 images"):
        SupervisedContrast()(_rows(2, 6, 5), torch.ones(6, 3, dtype=torch.bool))


def test_without_labels_the_supervised_method_says_so(registry, console, photos):
    with pytest.raises(sslcore.errors.UsageError, match="needs labels, and the data has none"):
        sslcore.train(
            "supcon",
            data=str(photos({"": 40})),
            settings=QUICK,
            registry=registry,
            console=console,
        )
