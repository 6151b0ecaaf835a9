"""A run of Python objects: trained, opened again, resumed, and repeated."""

from __future__ import annotations

import copy
import gc
import random
import signal
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import sslcore
from sslcore.errors import InterruptedRun, RunFolderError, UsageError


def weights(run):
    return load_file(run.path / "encoder.safetensors")


def equal(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def test_five_objects_train_a_run_that_records_what_they_were(train, tmp_path):
    run = train(tmp_path / "run")
    recipe = run.config()
    assert recipe["method"] == "(object):own-parts"
    assert recipe["encoder"]["name"] == "(object):net"
    assert recipe["encoder"]["from"].endswith(".Net")
    assert recipe["loss"]["from"].endswith(".agreement")
    assert recipe["init"]["part"] == "object"
    assert len(recipe["init"]["sha256"]) == 64
    assert set(run.evaluation) == {"encoder", "random_init", "pixels"}


def test_the_recipe_of_a_run_with_the_same_objects_is_the_same_run(train, tmp_path, objects):
    run = train(tmp_path / "run")
    again = train(tmp_path / "again", config=run.recipe_path)
    assert equal(weights(run), weights(again))
    with torch.no_grad():
        objects["encoder"].body[0].weight.zero_()
    with pytest.raises(UsageError, match="are not those that the recipe was written for"):
        train(tmp_path / "third", config=run.recipe_path)


def test_an_encoder_and_a_head_may_be_of_one_class(train, tmp_path):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(432, 8))
    run = train(tmp_path / "run", encoder=encoder)
    recipe = run.config()
    assert recipe["encoder"]["name"] == recipe["head"]["name"] == "(object):sequential"


def test_the_users_module_is_not_changed(train, tmp_path, objects):
    before = copy.deepcopy(objects["encoder"].state_dict())
    run = train(tmp_path / "run")
    assert equal(before, objects["encoder"].state_dict())
    trained = {name.removeprefix("module."): item for name, item in weights(run).items()}
    assert not equal(before, trained)


def test_an_evaluation_later_has_the_same_baseline_whatever_the_object_weighs_now(
    train, tmp_path, objects, console
):
    run = train(tmp_path / "run")
    with torch.no_grad():
        for weight in objects["encoder"].parameters():
            weight.zero_()
    assert sslcore.evaluate(run.path, **objects, console=console) == run.evaluation


def test_a_class_is_built_under_the_seed_of_the_run(train, tmp_path, objects):
    torch.manual_seed(5)
    first = train(tmp_path / "first", encoder=type(objects["encoder"]))
    torch.manual_seed(6)
    second = train(tmp_path / "second", encoder=type(objects["encoder"]))
    assert equal(weights(first), weights(second))


def test_two_runs_are_equal_whatever_the_global_generators_are_at(train, tmp_path, objects):
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        train(name)
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.array_equal(np.random.get_state()[1], states[1])
        assert random.getstate() == states[2]
    first, second = (weights(sslcore.open_run(name)) for name in ("first", "second"))
    assert equal(first, second)


def test_a_run_that_was_interrupted_goes_on_to_the_same_weights(train, tmp_path, objects):
    whole = train(tmp_path / "whole")
    steps = []

    def agreement(z1, z2):
        steps.append(1)
        if len(steps) == 6:
            signal.raise_signal(signal.SIGINT)
        return objects["loss"](z1, z2)

    # The origin of the loss is recorded; its module is not compared.
    with pytest.raises(InterruptedRun):
        train(tmp_path / "part", loss=agreement)
    assert 0 < len((tmp_path / "part/metrics.jsonl").read_text().splitlines()) < 8
    resumed = train(None, resume=tmp_path / "part")
    assert equal(weights(whole), weights(resumed))


def test_the_encoder_as_it_began_gives_the_features_of_the_instance(train, tmp_path):
    torchvision = pytest.importorskip("torchvision")
    network = torchvision.models.resnet18()
    frozen = {"training": {"epochs": 1, "batch_size": 8, "freeze": "encoder", "precision": "fp32"}}
    head = nn.Linear(1000, 8)
    run = train(tmp_path / "run", encoder=network, head=head, settings=frozen)
    extract = sslcore.load_encoder(
        run.path, encoder=torchvision.models.resnet18(), augmentation=objects_augmentation()
    )
    images = torch.rand(4, 3, 12, 12)
    with torch.no_grad():
        wanted = network.eval()((images - 0.5) / 0.25)
    torch.testing.assert_close(extract(images), wanted, atol=1e-6, rtol=0)


def objects_augmentation():
    from torchvision.transforms import v2

    return v2.Compose([v2.RandomResizedCrop(12), v2.Normalize([0.5] * 3, [0.25] * 3)])


def test_a_run_is_extended_and_previewed_and_reported_with_its_objects(
    train, tmp_path, objects, console
):
    run = train(tmp_path / "run")
    longer = sslcore.train(extend=run.path, **objects, output=tmp_path / "longer", console=console)
    assert longer.config()["init"]["part"] == "run"
    assert sslcore.report(run.path, **objects, console=console).is_file()
    picture = sslcore.preview(**objects, output=tmp_path / "views.png", console=console)
    assert picture.stat().st_size > 0


def test_other_data_has_figures_of_its_own(train, tmp_path, objects, console):
    run = train(tmp_path / "run")
    images = torch.rand(30, 3, 16, 16)
    other = torch.utils.data.TensorDataset(images, torch.arange(30) % 2)
    sslcore.evaluate(run.path, **{**objects, "data": other}, console=console)
    assert (run.path / "evaluation-tensor-dataset.json").is_file()
    assert run.read_evaluation() == run.evaluation


def test_a_run_says_in_one_line_that_it_needs_its_objects(train, tmp_path, site, objects):
    run = train(tmp_path / "run")
    done = site.run("evaluate", run.path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "needs them again: data " in done.stderr
    assert "sslcore.evaluate(RUN, data=…, augmentation=…, encoder=…, head=…, loss=…)" in done.stderr
    with pytest.raises(RunFolderError, match=r"needs them again: augmentation .*Compose, encoder"):
        sslcore.load_encoder(run.path)


def test_another_object_than_that_of_the_run_is_refused(train, tmp_path, objects, console):
    run = train(tmp_path / "run")
    with pytest.raises(UsageError, match=r"trained with \(object\):net, and \(object\):identity"):
        sslcore.load_encoder(run.path, encoder=nn.Identity())
    with pytest.raises(UsageError, match=r"was trained on 32 images, and .* has 16"):
        sslcore.evaluate(run.path, **{**objects, "data": type(objects["data"])(20)})
    named = train(tmp_path / "named", encoder="resnet18", head="projection")
    with pytest.raises(UsageError, match=r"trained with resnet18, and .* leave it out"):
        sslcore.load_encoder(named.path, encoder=objects["encoder"])


def test_nothing_keeps_the_objects_after_the_call(train, tmp_path, objects):
    run = train(tmp_path / "run", settings={"training": {"epochs": 1, "batch_size": 8}})
    assert run.finished
    kept = weakref.ref(objects.pop("encoder"))
    gc.collect()
    assert kept() is None


def test_a_path_is_data(train, tmp_path, photos):
    run = train(tmp_path / "run", data=Path(photos({"a": 10, "b": 10}, size=16)))
    assert run.config()["data"]["name"] == "folder"


def test_weights_from_elsewhere_don_t_go_with_those_of_an_instance(train, tmp_path):
    with pytest.raises(UsageError, match="has weights already; load yours into it"):
        train(tmp_path / "run", init=tmp_path / "weights.pth")
    assert not (tmp_path / "run").exists()
