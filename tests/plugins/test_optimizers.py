"""Weights after five steps against computations in plain float64, and what each optimizer moves."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sslcore.pipeline.pipeline import Pipeline
from sslcore.recipe.resolve import make_recipe
from sslcore.training.optimizer import ScheduledOptimizer

STEPS, WARMUP = 5, 2
#: Exact up to the rounding of another order of operations.
CLOSE = {"rtol": 1e-12, "atol": 1e-14}


class Predictor(nn.Module):
    """A head whose layer `predictor` is named a role."""

    parameter_roles = {"predictor": "predictor"}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.projector = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.predictor = nn.Linear(4, 3)


def scheduled(settings, *, method="byol", batch_size=64, registry=None):
    """An optimizer of a recipe on a small pipeline in float64: five steps, two of warm-up."""
    training = {"epochs": STEPS, "batch_size": batch_size, "warmup_epochs": WARMUP}
    settings = {**settings, "training": {**training, **settings.get("training", {})}}
    recipe, _ = make_recipe(method, settings=settings, registry=registry)
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(1, 3, 3), nn.GroupNorm(1, 3), nn.Flatten(), nn.Linear(12, 4))
    pipeline = Pipeline(nn.Identity(), encoder, Predictor(), nn.Identity()).double()
    recipe = replace(recipe, teacher=None)
    made = ScheduledOptimizer(recipe, pipeline, total=STEPS, per_epoch=1)
    return made, dict(pipeline.named_parameters())


def gradient(name, step, shape):
    """A made-up gradient that differs by parameter and step."""
    draws = np.random.default_rng([step, sum(map(ord, name))])
    return draws.standard_normal(shape)


def after_five_steps(made, weights):
    """The weights after five steps of the optimizer, as arrays."""
    for step in range(STEPS):
        made.set_rates(step)
        for name, weight in weights.items():
            weight.grad = torch.from_numpy(gradient(name, step, tuple(weight.shape)))
        made.drop_frozen(step)
        made.optimizer.step()
    return {name: weight.detach().numpy().copy() for name, weight in weights.items()}


def start(weights):
    return {name: weight.detach().numpy().copy() for name, weight in weights.items()}


def cosine(step):
    """The factor of the rate, by hand: two steps of warm-up, then half a cosine."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    return (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))) / 2


def is_vector(name):
    """Whether a parameter of the pipeline is a bias, or belongs to a norm."""
    return name.endswith("bias") or name in ("encoder.1.weight", "head.projector.1.weight")


VECTORS = {"weight_decay": 0.0}
ADAMW = {"name": "AdamW", "lr": 0.01, "weight_decay": 0.05}
LARS = {
    "name": "lars",
    "lr": 0.3,
    "lr_per": 256,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "bias": {**VECTORS, "trust_ratio": False},
    "norm": {**VECTORS, "trust_ratio": False},
}


def lars_by_hand(name, weight, *, lr, decay=1e-4, momentum=0.9, coefficient=0.001):
    """You et al. 2017 as SimCLR's and Barlow Twins' code have it, without decay for vectors."""
    buffer = np.zeros_like(weight)
    for step in range(STEPS):
        change = gradient(name, step, weight.shape)
        if not is_vector(name):
            change = change + decay * weight
            change = change * coefficient * np.sqrt((weight**2).sum() / (change**2).sum())
        buffer = momentum * buffer + change
        weight = weight - lr * cosine(step) * buffer
    return weight


def adamw_by_hand(name, weight, *, lr, decay, betas=(0.9, 0.999), eps=1e-8, factor=cosine):
    """Loshchilov & Hutter 2019, algorithm 2."""
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    for step in range(STEPS):
        change, rate = gradient(name, step, weight.shape), lr * factor(step)
        mean = betas[0] * mean + (1 - betas[0]) * change
        square = betas[1] * square + (1 - betas[1]) * change**2
        first, second = (moment / (1 - beta ** (step + 1)) for moment, beta in
                         ((mean, betas[0]), (square, betas[1])))  # fmt: skip
        weight = weight * (1 - rate * decay) - rate * first / (np.sqrt(second) + eps)
    return weight


def test_lars_with_exclusions_is_the_papers_after_five_steps():
    made, weights = scheduled({"optimizer": LARS})
    before = start(weights)
    for name, found in after_five_steps(made, weights).items():
        wanted = lars_by_hand(name, before[name], lr=0.3 * 64 / 256)
        np.testing.assert_allclose(found, wanted, **CLOSE, err_msg=name)


def test_lars_with_clip_never_exceeds_the_learning_rate():
    settings = {"name": "lars", "lr": 0.3, "clip": True, "trust_coefficient": 0.02}
    made, weights = scheduled({"optimizer": {**settings, "momentum": 0.0, "weight_decay": 1e-4}})
    before = start(weights)
    for name, found in after_five_steps(made, weights).items():
        weight = before[name]
        for step in range(STEPS):
            change, rate = gradient(name, step, weight.shape), 0.3 * cosine(step)
            length = np.linalg.norm(weight)
            ratio = 0.02 * length / (np.linalg.norm(change) + 1e-4 * length) / rate if rate else 1
            ratio = min(ratio, 1) if length else 1
            weight = weight - rate * ratio * (change + 1e-4 * weight)
        np.testing.assert_allclose(found, weight, **CLOSE, err_msg=name)


def test_adamw_with_exclusions_is_the_papers_after_five_steps():
    tables = {"bias": VECTORS, "norm": VECTORS}
    made, weights = scheduled({"optimizer": ADAMW | tables})
    before = start(weights)
    for name, found in after_five_steps(made, weights).items():
        decay = 0.0 if is_vector(name) else 0.05
        wanted = adamw_by_hand(name, before[name], lr=0.01, decay=decay)
        np.testing.assert_allclose(found, wanted, **CLOSE, err_msg=name)


def test_a_predictor_has_a_rate_of_its_own_that_stays_constant():
    own = {"predictor": {"lr": 0.1, "schedule": "constant"}}
    made, weights = scheduled({"optimizer": ADAMW | own})
    before = start(weights)

    def constant(step):
        return min(1.0, (step + 1) / WARMUP)

    for name, found in after_five_steps(made, weights).items():
        mine = name.startswith("head.predictor")
        wanted = adamw_by_hand(
            name,
            before[name],
            lr=0.1 if mine else 0.01,
            decay=0.05,
            factor=constant if mine else cosine,
        )
        np.testing.assert_allclose(found, wanted, **CLOSE, err_msg=name)


def test_the_weight_decay_goes_to_its_final_value_where_there_is_one():
    training = {"final_weight_decay": 0.4}
    optimizer = {"name": "adamw", "lr": 0.01, "weight_decay": 0.04, "bias": VECTORS}
    made, _ = scheduled({"optimizer": optimizer, "training": training})
    seen = []
    for step in range(STEPS):
        made.set_rates(step)
        seen.append({group["weight_decay"] for group in made.optimizer.param_groups})
    wanted = [0.4 - 0.36 * (1 + math.cos(math.pi * step / STEPS)) / 2 for step in range(STEPS)]
    assert [max(each) for each in seen] == pytest.approx(wanted)
    assert all(0.0 in each for each in seen)


def test_frozen_parameters_stay_for_their_epochs_and_move_after_them():
    frozen = {"predictor": {"frozen_epochs": 3}}
    made, weights = scheduled({"optimizer": {"name": "adamw", "weight_decay": 0.1, **frozen}})
    first = start(weights)
    for step in range(STEPS):
        made.set_rates(step)
        for weight in weights.values():
            weight.grad = torch.ones_like(weight)
        made.drop_frozen(step)
        made.optimizer.step()
        moved = {name for name in weights if (weights[name].detach().numpy() != first[name]).any()}
        still = {name for name in weights if name not in moved}
        assert still == ({"head.predictor.weight", "head.predictor.bias"} if step < 3 else set())


def test_without_tables_there_is_one_group():
    made, weights = scheduled({"optimizer": {"name": "adamw", "lr": 0.01}})
    (group,) = made.optimizer.param_groups
    assert group["names"] == list(weights)
    assert ("head", "weight", "predictor") in group["roles"]
    assert ("encoder", "norm") in group["roles"]


def test_a_role_that_no_parameter_has_is_refused_with_the_roles():
    from sslcore.errors import SettingsError

    with pytest.raises(SettingsError, match=r"optimizer.predicter: no parameter has this role"):
        make_recipe("byol", settings={"optimizer": {"predicter": {"lr": 0.1}}})
    with pytest.raises(SettingsError, match=r"optimizer.bias.weight_decay: expected a number ≥ 0"):
        make_recipe("byol", settings={"optimizer": {"bias.weight_decay": -1}})
    with pytest.raises(SettingsError, match=r"optimizer.bias.momentun: no such setting"):
        make_recipe("byol", settings={"optimizer": {"bias": {"momentun": 0.9}}})


def test_muon_turns_hidden_matrices_and_leaves_the_rest_to_adamw():
    made, weights = scheduled({"optimizer": {"name": "muon", "lr": 0.01, "weight_decay": 0.05}})
    hidden = {
        name for group in made.optimizer.param_groups if group["hidden"] for name in group["names"]
    }
    assert hidden == {"encoder.3.weight", "head.projector.0.weight", "head.predictor.weight"}
    before = start(weights)
    for name, found in after_five_steps(made, weights).items():
        if name not in hidden:
            wanted = adamw_by_hand(name, before[name], lr=0.01, decay=0.05, betas=(0.9, 0.95))
            np.testing.assert_allclose(found, wanted, rtol=1e-9, err_msg=name)


def test_muons_step_has_singular_values_near_one():
    from sslcore_optimizers.muon import orthogonal

    for shape in ((6, 10), (10, 6), (8, 8)):
        matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).double()
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        found = orthogonal(matrix)
        values = torch.linalg.svdvals(found)
        assert float(values.min()) > 0.6
        assert float(values.max()) < 1.3
        # The singular vectors stay.
        mixed = left.T @ found @ right.T
        assert torch.allclose(mixed, torch.diag(mixed.diagonal()), atol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "sgd", "AdamW", "RMSprop", "NAdam", "Adafactor"])
def test_a_name_is_found_in_any_case(name):
    recipe, _ = make_recipe("simclr", settings={"optimizer": {"name": name}})
    assert recipe.optimizer.name == name.lower()


def test_the_schedule_of_older_recipes_is_that_of_today():
    for settings in ({"training": {"schedule": "linear"}}, {"schedule": {"name": "linear"}}):
        recipe, _ = make_recipe("simclr", settings=settings)
        assert recipe.schedule.name == "linear"
        again, _ = make_recipe(config=recipe.to_dict())
        assert again == recipe
