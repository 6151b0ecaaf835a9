"""I-JEPA and LeJEPA as methods: blocks, contexts, a teacher that sees everything, directions."""

from __future__ import annotations

import pytest
import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.errors import CompositionError
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore_jepa.blocks import BlockMask
from sslcore_jepa.latent import LatentPrediction
from sslcore_jepa.predictor import BlockPredictor
from sslcore_jepa.regularizer import LeJEPA, directions, epps_pulley

TRAINING = {"epochs": 1, "batch_size": 256, "precision": "fp32", "checkpoint_every": 2}
QUICK = {
    "lejepa": {
        "augmentation": {"local_views": 2},
        "encoder": {"widths": (4, 8)},
        "head": {"hidden": (16,), "dim": 8},
        "loss": {"slices": 16},
        "training": TRAINING,
    },
    "i-jepa": {
        "encoder": {"width": 16, "depth": 1, "heads": 2},
        "head": {"width": 16, "depth": 1, "heads": 2},
        "training": TRAINING,
    },
}


def _numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", QUICK)
def test_a_killed_run_resumes_with_the_same_bits(method, resumes_with_the_same_bits):
    resumes_with_the_same_bits(method, QUICK[method])


# LeJEPA


def test_directions_are_of_unit_length_differ_by_step_and_are_those_of_all_processes():
    first = directions(5, 40, sslcore.BatchRandom(0, 3, 8))
    torch.testing.assert_close(first.norm(dim=0), torch.ones(40))
    assert torch.equal(first, directions(5, 40, sslcore.BatchRandom(0, 3, 8, rows=slice(4, 8))))
    assert not torch.equal(first, directions(5, 40, sslcore.BatchRandom(0, 4, 8)))
    assert torch.equal(directions(5, 40), directions(5, 40))


def test_directions_point_everywhere_alike():
    drawn = directions(3, 20000, sslcore.BatchRandom(0, 3, 8))
    torch.testing.assert_close(drawn @ drawn.T / 20000, torch.eye(3) / 3, atol=0.01, rtol=0)
    assert drawn.mean(1).abs().max() < 0.02


def test_the_statistic_of_normal_numbers_is_smaller_than_that_of_others():
    normal = _numbers(1, 4000, 1)
    found = [
        float(epps_pulley(samples, 17, 3.0))
        for samples in (normal, normal + 0.5, 2 * normal, normal.sign(), 0 * normal)
    ]
    assert 0 < found[0] < 2
    assert min(found[1:]) > 20


def test_local_views_are_attracted_to_the_mean_of_the_global_ones():
    projections = torch.zeros(4, 3, 2)
    projections[2:] = 1.0
    loss = LeJEPA(4, weight=0.0, global_views=2)
    # Global views at their mean, local views at distance 1 from it.
    assert float(loss(projections)["loss"]) == pytest.approx(0.5)
    assert float(LeJEPA(4, weight=0.0)(projections)["loss"]) == pytest.approx(0.25)


def test_more_global_views_than_views_are_refused():
    with pytest.raises(ValueError, match="global_views: 5 of 4 views"):
        LeJEPA(4, global_views=5)


# I-JEPA


def _drawn(count=16, rows=None, **settings):
    images = torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    random = sslcore.BatchRandom(0, 5, count, rows=rows)
    return BlockMask(16, 1, **settings)(images if rows is None else images[rows], random)


def test_targets_are_rectangles_of_one_size_and_no_context_shows_them():
    made = _drawn()
    positions, visible = made["target_positions"][0], made["visible"][0]
    assert positions.shape[:2] == (16, 4)
    sizes = set()
    for block in positions.flatten(0, 1):
        rows, columns = (block // 8).unique(), (block % 8).unique()
        assert len(rows) * len(columns) == len(block)
        assert rows[-1] - rows[0] == len(rows) - 1
        sizes.add((len(rows), len(columns)))
    assert len(sizes) == 1
    for image in range(16):
        assert not set(visible[image].tolist()) & set(positions[image].flatten().tolist())
        assert visible[image].tolist() == sorted(set(visible[image].tolist()))


def test_every_context_has_as_many_patches_as_the_smallest_of_the_batch():
    made = _drawn(64)
    hidden, visible = made["mask"][0], made["visible"][0]
    assert (hidden.sum(1) == 64 - visible.shape[1]).all()
    assert 4 <= visible.shape[1] <= 40
    assert not hidden.gather(1, visible).any()


def test_all_processes_together_hide_what_one_process_hides():
    whole, parts = _drawn(), [_drawn(rows=slice(0, 8)), _drawn(rows=slice(8, 16))]
    for name, item in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts], 1), item), name


def test_a_context_that_targets_leave_too_little_of_overlaps_the_last_of_them():
    made = _drawn(target_scale=(0.5, 0.5), targets=4, min_context=12)
    assert made["visible"].shape[2] >= 12
    first = made["target_positions"][0][:, 0]
    assert not (made["visible"][0][:, :, None] == first[:, None]).any()


def test_a_context_that_may_be_too_small_is_refused():
    with pytest.raises(ValueError, match="min_context: the context may be a block of 4 patches"):
        BlockMask(16, 1, context_scale=(0.1, 0.5), min_context=12)


def test_in_eval_mode_nothing_is_hidden():
    made = BlockMask(16, 1).eval()(torch.rand(3, 1, 16, 16))
    assert not made["mask"].any()
    assert torch.equal(made["visible"][0, 1], torch.arange(64))
    assert "target_positions" not in made


def test_each_block_is_predicted_by_itself_from_the_context():
    head = BlockPredictor(16, 16, width=16, depth=1, heads=2).eval()
    tokens, visible = _numbers(1, 2, 11, 16), torch.arange(10).expand(1, 2, -1)
    positions = torch.arange(20, 32).view(1, 1, 3, 4).expand(-1, 2, -1, -1)
    found = head(tokens, visible, positions)["target_predictions"]
    assert found.shape == (1, 2, 3, 4, 16)
    alone = head(tokens, visible, positions[:, :, 1:2])["target_predictions"]
    torch.testing.assert_close(alone, found[:, :, 1:2])
    other = tokens.clone()
    other[:, :, 0] += 1
    torch.testing.assert_close(head(other, visible, positions)["target_predictions"], found)
    other[:, :, 5] += 1
    moved = head(other, visible, positions)["target_predictions"]
    assert not torch.allclose(moved, found)


def test_the_loss_is_zero_exactly_at_the_teachers_normalised_tokens():
    tokens = _numbers(1, 2, 17, 8)
    positions = torch.tensor([[3, 5], [0, 15]]).expand(1, 2, -1, -1)
    exact = (tokens - tokens.mean(-1, keepdim=True)) / tokens.std(-1, correction=0, keepdim=True)
    wanted = torch.stack([exact[:, :, 1 + block] for block in positions[0, 0]], 2)
    loss = LatentPrediction()
    assert float(loss(wanted, tokens, positions)) == pytest.approx(0, abs=1e-6)
    assert float(loss(wanted + 0.5, tokens, positions)) == pytest.approx(0.125, rel=1e-3)
    assert float(loss(wanted + 3, tokens, positions)) == pytest.approx(2.5, rel=1e-3)


def test_the_teacher_sees_every_patch_and_the_student_its_context(registry):
    recipe, _ = make_recipe("i-jepa", settings=QUICK["i-jepa"], registry=registry)
    pipeline = build_pipeline(recipe, ImageShape(16, 1))
    signals = pipeline(torch.rand(5, 1, 16, 16), random=sslcore.BatchRandom(0, 0, 5))
    assert signals["teacher_tokens"].shape == (1, 5, 65, 16)
    assert signals["tokens"].shape == (1, 5, 1 + signals["visible"].shape[2], 16)
    assert "teacher_target_predictions" not in signals


def test_other_patches_in_the_encoder_are_refused_before_the_first_image(registry):
    recipe, _ = make_recipe(
        "i-jepa", settings={**QUICK["i-jepa"], "augmentation": {"patch_size": 4}}, registry=registry
    )
    with pytest.raises(CompositionError, match="patch_size"):
        build_pipeline(recipe, ImageShape(16, 1))
