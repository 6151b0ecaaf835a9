"""SwAV and DeepCluster-v2 as methods: prototypes, the queue, k-means, and runs that resume."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import sslcore
from sslcore.api import make_recipe
from sslcore.errors import CompositionError
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore_swav.clusters import ClusterCentroids, spherical_k_means
from sslcore_swav.swapped import SwappedPrediction, balanced_codes, first_prototypes

SMALL = {
    "encoder": {"widths": (4, 8)},
    "augmentation": {"local_views": 1},
    "training": {"epochs": 2, "batch_size": 256, "precision": "fp32", "checkpoint_every": 2},
}
HEAD = {"hidden": (16,), "dim": 8}
QUICK = {
    "swav": {
        **SMALL,
        "head": HEAD,
        "loss": {"prototypes": 10, "queue_size": 300, "queue_start": 0.0, "freeze": 0.0},
    },
    "deepcluster-v2": {**SMALL, "head": {**HEAD, "clusters": 10, "runs": 2}},
}


def _rows(*shape, key=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(key))


@pytest.mark.parametrize("step", [3, 5, 7])
def test_a_killed_run_of_swav_resumes_with_the_same_bits(step, resumes_with_the_same_bits):
    # 5 steps an epoch.
    tensors = resumes_with_the_same_bits("swav", QUICK["swav"], step=step)
    prototypes = tensors["model/loss.prototypes"]
    torch.testing.assert_close(prototypes.norm(dim=1), torch.ones(10))
    assert not torch.allclose(prototypes, first_prototypes(10, 8), atol=1e-3)
    assert int(tensors["model/loss.queued"]) == 10 * 256
    torch.testing.assert_close(
        tensors["model/loss.queue"].norm(dim=-1), torch.ones(2, 300), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("step", [3, 5, 7])
def test_a_killed_run_of_deepcluster_resumes_with_the_same_bits(step, resumes_with_the_same_bits):
    tensors = resumes_with_the_same_bits("deepcluster-v2", QUICK["deepcluster-v2"], step=step)
    centroids, clusters = (tensors[f"model/head.{name}"] for name in ("centroids", "clusters"))
    torch.testing.assert_close(centroids.norm(dim=-1), torch.ones(2, 10))
    assert clusters.shape == (2, 1347)
    assert all(len(run.unique()) > 3 for run in clusters)
    # Each run of k-means begins with other images.
    assert not torch.equal(*clusters)


def test_codes_are_as_balanced_as_the_iterations_allow_and_sum_to_one_for_each_image():
    scores = _rows(40, 6).tanh()
    codes = balanced_codes(scores, 0.05, 3)
    torch.testing.assert_close(codes.sum(1), torch.ones(40))
    exact = balanced_codes(scores.double(), 0.5, 200)
    torch.testing.assert_close(exact.sum(0), torch.full((6,), 40 / 6).double())


def test_a_full_queue_takes_part_in_sharing_out_and_gets_no_gradient():
    loss = SwappedPrediction(8, prototypes=5, queue_size=6, queue_start=0.5)
    batches = [_rows(3, 4, 8, key=key) for key in range(4)]
    alone = SwappedPrediction(8, prototypes=5)
    # Before `queue_start`, nothing is queued.
    loss(batches[0], progress=0.4)
    assert loss.queued == 0
    for batch in batches[:2]:
        torch.testing.assert_close(loss(batch, progress=0.6), alone(batch))
    queued = torch.cat([F.normalize(batch[:2], dim=-1) for batch in batches[:2]], 1)[:, -6:]
    # The oldest two gave way to the newest two.
    torch.testing.assert_close(loss.queue, queued.roll(2, 1))
    found = F.normalize(batches[2], dim=-1)
    codes = [
        balanced_codes(torch.cat([found[own], queued[own]]) @ loss.prototypes.T, 0.05, 3)[:4]
        for own in (0, 1)
    ]
    logs = (found @ loss.prototypes.T / 0.1).log_softmax(-1)
    expected = [
        -(codes[own] * logs[other]).sum(-1).mean()
        for own in (0, 1)
        for other in range(3)
        if other != own
    ]
    torch.testing.assert_close(loss(batches[2]), torch.stack(expected).mean())
    # In eval mode it stays as it is.
    before = loss.queue.clone()
    loss.eval()(batches[3])
    assert torch.equal(loss.queue, before)


def test_prototypes_learn_once_they_are_free_and_keep_unit_length():
    loss = SwappedPrediction(8, prototypes=5, freeze=0.2)
    loss(_rows(2, 4, 8).requires_grad_(), progress=0.1).backward()
    assert loss.prototypes.grad is None
    loss(_rows(2, 4, 8), progress=0.2).backward()
    assert loss.prototypes.grad.any()
    with torch.no_grad():
        loss.prototypes.mul_(3)
    loss.after_step(0.2)
    torch.testing.assert_close(loss.prototypes, first_prototypes(5, 8))


def test_k_means_finds_directions_and_leaves_an_empty_cluster_where_it_is(monkeypatch):
    monkeypatch.setattr("sslcore_swav.clusters._HELD", 20)
    directions = F.normalize(_rows(4, 8), dim=-1)
    rows = F.normalize(directions.repeat(25, 1) + 0.05 * _rows(100, 8, key=2), dim=-1)
    far = -directions.mean(0, keepdim=True)
    first = torch.cat([rows[:4], F.normalize(far, dim=-1)])
    centroids, clusters = spherical_k_means(rows, first, 5)
    assert torch.equal(clusters, torch.arange(100) % 4)
    assert torch.equal(centroids[4], first[4])
    means = torch.stack([rows[clusters == each].mean(0) for each in range(4)])
    torch.testing.assert_close(centroids[:4], F.normalize(means, dim=-1))


def test_an_epoch_clusters_the_images_by_their_projections_in_eval_mode():
    torch.manual_seed(0)
    head = ClusterCentroids(6, 40, hidden=(5,), dim=4, clusters=3, runs=2, iterations=10).train()
    statistics = head.layers[1].running_mean.clone()
    features = _rows(40, 6)
    head.epoch_started(lambda: features, sslcore.BatchRandom(0, 0, 40))
    assert head.training
    assert torch.equal(head.layers[1].running_mean, statistics)
    indices = torch.tensor([7, 0, 39])
    made = head.eval()(features[indices][None].expand(2, -1, -1), indices)
    assert made["cosines"].shape == (2, 3, 2, 3)
    # Projected alike, an image is nearest to the centroid of its own cluster.
    assert torch.equal(made["cosines"][0].argmax(-1), made["clusters"][0])


@pytest.mark.parametrize(("images", "clusters"), [(60_000, 3000), (1347, 89), (18, 2)])
def test_by_default_a_cluster_has_fifteen_images_or_more(images, clusters):
    assert ClusterCentroids(6, images, dim=4).centroids.shape == (3, clusters, 4)


def test_what_does_not_fit_is_refused_before_the_first_image(registry):
    with pytest.raises(ValueError, match=r"50 clusters need .* there are 40; set head\.clusters"):
        ClusterCentroids(6, 40, clusters=50)
    recipe, _ = make_recipe("swav", augmentation="light", registry=registry)
    with pytest.raises(CompositionError, match="makes 1; use one that makes 2 or more"):
        build_pipeline(recipe, ImageShape(16, 1))
