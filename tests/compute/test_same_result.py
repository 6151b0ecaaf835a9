"""Training in 2 and 4 processes is training in one: the same views, gradients and weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import sslcore
from sslcore.compute.processes import Processes
from sslcore.registry.registry import default_registry

#: The script's way to name what to train: METHOD+KIND:PART+SECTION.NAME=VALUE.
SMALLER = {"infonce": "infonce+encoder:small-cnn"}
#: A third party's method whose images come with more than a label.
WITH_EXTRAS = "areas+data:scenes+data.count=120"
BESIDES = (WITH_EXTRAS, "cpc+data:moving-digits", "simclr+encoder:vit+head.batch_norm=false")
SPLIT = "+training.micro_batch=4"
APART = f"+training.batch_statistics=micro-batch{SPLIT}"
SPLITS = (
    "classification+encoder:vit+encoder.depth=1",
    WITH_EXTRAS,
    "mae",
    "autoencoder",
    "simclr+encoder:vit+head.batch_norm=false",
)
APARTS = ("simclr", "moco", "moco+teacher.shuffle=true", "byol")

#: The largest effect of float64 rounding on five steps, as a fraction of the norm. An adaptive
#: optimizer divides gradients that ought to be zero by their own size, which makes rounding
#: visible.
TOLERANCE = 1e-9


def _shipped():
    return [
        SMALLER.get(entry.name, entry.name)
        for entry in default_registry().entries("method")
        if entry.origin.shipped
    ]


def _train(count, folder, names):
    """Run five steps of everything in a number of processes; return `{name: tensors}`."""
    folder.mkdir()
    script = Path(__file__).with_name("five_steps.py")
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    subprocess.run(
        [sys.executable, *launch, str(script), str(folder), *names],
        check=True,
        env={**os.environ, "SSLCORE_PLUGINS": ""},
        capture_output=True,
    )
    return {name: load_file(folder / f"{name}.safetensors") for name in names}


def _apart(one, other):
    """Return the tensors that differ by more than rounding, with the difference."""
    assert one.keys() == other.keys()
    assert any(name.startswith("gradient/") for name in one)
    found = {}
    for name, tensor in one.items():
        first, second = tensor.double(), other[name].double()
        difference = float((first - second).norm() / first.norm().clamp_min(1e-3))
        if not difference <= TOLERANCE:
            found[name] = difference
    return found


#: One method with negatives from the batch, one with a teacher and a queue, one with labels.
USUAL = ("simclr", "moco", "classification")


@pytest.mark.slow
def test_gradients_and_weights_of_every_method_are_those_of_one_process_and_a_whole_batch(tmp_path):
    names = [*_shipped(), *BESIDES]
    assert len({*names}) == len(names) >= 16
    _hold(tmp_path, names, SPLITS, APARTS, counts=(2, 4))


def test_gradients_and_weights_are_those_of_one_process_and_of_a_whole_batch(tmp_path):
    names = [name for name in _shipped() if name.partition("+")[0] in USUAL]
    assert len(names) == len(USUAL)
    _hold(tmp_path, names, SPLITS[:2], APARTS[:1], counts=(2,))


def _hold(folder, names, splits, aparts, counts):
    """Compare runs of five steps in one process, in several, and in micro-batches."""
    every = [*names, *splits, *aparts]
    every += [f"{name}{SPLIT}" for name in splits] + [f"{name}{APART}" for name in aparts]
    every = list(dict.fromkeys(every))
    alone = _train(1, folder / "1", every)
    for count in counts:
        together = _train(count, folder / str(count), every)
        differ = {name: _apart(alone[name], together[name]) for name in every}
        assert not {name: what for name, what in differ.items() if what}, count
    for name in splits:
        assert not _apart(alone[name], alone[f"{name}{SPLIT}"]), name
    for name in aparts:
        # With batch statistics of its own, each micro-batch gives another result.
        assert _apart(alone[name], alone[f"{name}{APART}"]), name


@pytest.mark.parametrize("count", [1, 2, 4])
def test_all_ranks_together_see_the_views_of_one_process(count):
    augmentation = sslcore.build("augmentation", "two-views", image_size=16, channels=1)
    images = torch.rand(8, 1, 16, 16)
    whole = augmentation(images, sslcore.BatchRandom(0, 3, 8))["views"]
    parts = [Processes(rank, count).share(8) for rank in range(count)]
    seen = [
        augmentation(images[part], sslcore.BatchRandom(0, 3, 8, rows=part))["views"]
        for part in parts
    ]
    assert torch.equal(torch.cat(seen, 1), whole)
