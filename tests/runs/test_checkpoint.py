"""A checkpoint is complete, or it is not used."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import sslcore
from sslcore.compute.rng_state import generator_states, preserved_generators, seed_generators
from sslcore.errors import RunFolderError
from sslcore.runs.checkpoint import checksum, load_checkpoint
from sslcore.training.state import TrainingState

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    """A folder with the checkpoints of steps 7 and 8."""
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = _state(layer, optimizer)
    state.losses = [torch.tensor(0.5)]
    for state.step in (7, 8):
        state.save(tmp_path)
    return tmp_path


def _state(layer, optimizer, device=CPU):
    scaler = torch.amp.GradScaler(device.type, enabled=False)
    return TrainingState(layer, optimizer, scaler, device)


def _rewrite(path, *, metadata=(), tensors=(), drop=(), checked=False):
    """Change the contents of a checkpoint; with `checked`, update its checksum."""
    with safe_open(path, "pt") as file:
        said = file.metadata() | dict(metadata)
        held = {name: file.get_tensor(name).clone() for name in file.keys()} | dict(tensors)  # noqa: SIM118
    for name in drop:
        held.pop(name, None)
        said.pop(name, None)
    if checked:
        said["checksum"] = str(checksum(held, said))
    save_file(held, path, said)


def test_a_checkpoint_holds_what_was_saved(folder):
    checkpoint = load_checkpoint(folder)
    assert checkpoint.step == 8
    assert checkpoint.tensors["training/losses"].tolist() == [0.5]
    assert checkpoint.skipped == ()


SCALARS = json.dumps({"optimizer": {}, "groups": [{"params": [0, 1], "lr": 9.0}], "scaler": {}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metadata": {"step": "9"}}, "checksum does not match"),
        ({"metadata": {"scalars": SCALARS}}, "checksum does not match"),
        ({"tensors": {"model/bias": torch.ones(2)}}, "checksum does not match"),
        ({"drop": ["checksum"]}, "its metadata lacks checksum"),
        ({"drop": ["scalars"]}, "its metadata lacks scalars"),
        ({"metadata": {"step": "9"}, "checked": True}, "it is of step 9"),
        ({"metadata": {"step": "nine"}, "checked": True}, "nine"),
        ({"metadata": {"scalars": "3"}, "checked": True}, "scalars are not a state of training"),
        ({"metadata": {"scalars": "{}"}, "checked": True}, "scalars are not a state of training"),
        ({"metadata": {"scalars": "{"}, "checked": True}, "damaged"),
        (
            {"metadata": {"scalars": SCALARS.replace("{}", "3")}, "checked": True},
            "scalars are not a state of training",
        ),
        ({"drop": ["random/cpu"], "checked": True}, "lacks random/cpu"),
    ],
)
def test_a_checkpoint_that_is_not_as_it_was_written_falls_back_to_the_one_before(
    change, said, folder
):
    _rewrite(folder / "step-000000008.safetensors", **change)
    checkpoint = load_checkpoint(folder)
    assert checkpoint.step == 7
    assert "step-000000008.safetensors is damaged" in checkpoint.skipped[0]
    assert said in checkpoint.skipped[0]


def test_a_checkpoint_under_another_steps_name_is_not_used(folder):
    (folder / "step-000000007.safetensors").rename(folder / "step-000000009.safetensors")
    assert load_checkpoint(folder).step == 8


def test_a_file_that_only_looks_like_a_checkpoint_is_not_used(folder):
    (folder / "step-last.safetensors").write_bytes(
        (folder / "step-000000008.safetensors").read_bytes()
    )
    for path in folder.glob("step-0*"):
        path.unlink()
    with pytest.raises(RunFolderError, match="every checkpoint is damaged"):
        load_checkpoint(folder)


def test_a_step_of_ten_digits_comes_after_those_of_nine(folder):
    layer = nn.Linear(3, 2)
    state = _state(layer, torch.optim.SGD(layer.parameters()))
    for state.step in (999_999_999, 1_000_000_000):
        state.save(folder)
    assert load_checkpoint(folder).step == 1_000_000_000


def test_training_leaves_the_callers_random_numbers_as_they_were(registry, console, tiny):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    sslcore.train("agreement", data="noise", settings=tiny, registry=registry, console=console)
    assert torch.equal(torch.rand(3), expected)


def test_generators_are_preserved_even_where_training_fails():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), preserved_generators(CPU):
        seed_generators(1 // 0 if torch.rand(3).numel() else 0, CPU)
    assert torch.equal(torch.get_rng_state(), state)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@needs_gpu
def test_building_a_pipeline_leaves_the_gpus_generators_alone(registry):
    from sslcore.api import make_recipe
    from sslcore.pipeline.build import ImageShape, build_pipeline

    before = torch.cuda.get_rng_state_all()
    recipe, _ = make_recipe("simclr", registry=registry)
    build_pipeline(recipe, ImageShape(16, 1))
    for one, other in zip(before, torch.cuda.get_rng_state_all(), strict=True):
        assert torch.equal(one, other)


@needs_gpu
def test_the_random_state_in_a_checkpoint_is_that_of_the_pipelines_device(tmp_path):
    device = torch.device("cuda", torch.cuda.device_count() - 1)
    layer = nn.Linear(3, 2).to(device)
    optimizer = torch.optim.SGD(layer.parameters())
    seed_generators(3, device)
    state = _state(layer, optimizer, device)
    state.save(tmp_path)
    expected = torch.rand(3, device=device)
    state.restore(load_checkpoint(tmp_path))
    assert torch.equal(torch.rand(3, device=device), expected)


@needs_gpu
def test_a_gpus_generator_is_preserved_as_well():
    device = torch.device("cuda", 0)
    before = generator_states(device)["cuda"]
    with preserved_generators(device):
        seed_generators(1, device)
        torch.rand(3, device=device)
    assert torch.equal(generator_states(device)["cuda"], before)
