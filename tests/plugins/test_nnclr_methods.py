"""NNCLR as a method: its queue, its neighbours, and a run that is killed and resumed."""

from __future__ import annotations

import pytest
import torch

from sslcore.api import make_recipe
from sslcore.errors import CompositionError
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore_nnclr.loss import NeighbourContrast, first_queue, nearest_rows

QUICK = {
    "encoder": {"widths": (4, 8)},
    "head": {"hidden": (16,), "dim": 8, "predictor_hidden": (16,)},
    "loss": {"queue_size": 50},
    "training": {"epochs": 1, "batch_size": 256, "precision": "fp32", "checkpoint_every": 2},
}


def _rows(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_a_killed_run_resumes_with_the_same_queue_and_weights(resumes_with_the_same_bits):
    tensors = resumes_with_the_same_bits("nnclr", QUICK)
    queue = tensors["model/loss.queue"]
    torch.testing.assert_close(queue.norm(dim=-1), torch.ones(50))
    assert (queue - first_queue(50, 8)).norm(dim=-1).min() > 0.01


def test_the_nearest_row_is_that_of_the_largest_cosine_in_every_chunk(monkeypatch):
    monkeypatch.setattr("sslcore_nnclr.loss._HELD", 60)
    queries, rows = _rows(23, 4), first_queue(20, 4)
    wanted = [max(rows, key=lambda row: float(row @ query)) for query in queries]
    assert torch.equal(nearest_rows(queries, rows), torch.stack(wanted))


def test_an_image_is_not_its_own_neighbour_in_its_batch():
    loss, projections = NeighbourContrast(8, queue_size=4), _rows(2, 3, 8)
    first = loss.queue.clone()
    loss(projections, _rows(2, 3, 8))
    assert torch.equal(loss.queue[3:], first[3:])
    unit = torch.nn.functional.normalize(projections[0], dim=-1)
    torch.testing.assert_close(loss.queue[:3], unit)
    # Of the next batch it is.
    torch.testing.assert_close(nearest_rows(unit, loss.queue), unit)


def test_of_a_batch_longer_than_the_queue_the_last_images_stay():
    loss, projections = NeighbourContrast(8, queue_size=4), _rows(2, 7, 8)
    loss(projections, projections)
    kept = torch.nn.functional.normalize(projections[0, 3:], dim=-1)
    assert loss.oldest == 3
    torch.testing.assert_close(loss.queue.roll(-3, 0), kept)


def test_the_mean_over_parts_of_the_images_is_the_loss():
    projections, predictions = _rows(2, 2, 6, 8)
    whole = NeighbourContrast(8, queue_size=9)(projections, predictions)
    parts = [
        NeighbourContrast(8, queue_size=9)(projections, predictions, rows=rows)
        for rows in (slice(0, 3), slice(3, 6))
    ]
    torch.testing.assert_close(sum(parts) / 2, whole)


def test_a_single_view_is_refused_before_the_first_image(registry):
    recipe, _ = make_recipe("nnclr", augmentation="light", registry=registry)
    with pytest.raises(CompositionError, match="makes 1; use one that makes 2 or more"):
        build_pipeline(recipe, ImageShape(16, 1))
