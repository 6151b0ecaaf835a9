"""metrics.jsonl: its contents, which are the same after resuming."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor, nn

import sslcore
from sslcore.contract.interface import ENGINE_KEYS
from sslcore.errors import CompositionError
from sslcore.evaluation.collapse import Reading
from sslcore.runs.folder import METRICS
from sslcore.runs.metrics import LogLine, Metrics, read_metrics
from sslcore.training.trainer import Trainer


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("step", [3, 5, 6, 8])
def test_stopped_between_two_log_steps_a_run_logs_what_it_would_have_logged(
    step, tiny, registry, console, monkeypatch
):
    # Checkpoints at 2, 4, 6, 8; lines at 4, 8, 9: a line's mean spans a checkpoint.
    tiny["training"] |= {"epochs": 3, "checkpoint_every": 2, "log_every": 4}
    options = {"registry": registry, "console": console, "evaluate": False}
    whole = sslcore.train("agreement", data="noise", output="whole", settings=tiny, **options)
    train_step = Trainer.train_step

    def killed(self, batch):
        if batch.step == step:
            raise _Killed
        return train_step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(_Killed):
            sslcore.train("agreement", data="noise", output="killed", settings=tiny, **options)
    resumed = sslcore.train(resume="killed", **options)
    lines = [read_metrics(run.path / METRICS) for run in (whole, resumed)]
    assert [line["step"] for line in lines[0]] == [4, 8, 9]
    assert len(lines[0]) == len(lines[1])
    for one, other in zip(*lines, strict=True):
        assert one["loss"] == other["loss"]
        of_the_clock = {"images_per_second": 0, "time": ""}
        assert {**one, **of_the_clock} == {**other, **of_the_clock}


def test_the_loss_of_a_line_is_the_mean_since_the_line_before(tiny, registry, console):
    tiny["training"]["epochs"] = 3
    options = {"registry": registry, "console": console, "evaluate": False}
    each, fourth = [], []
    for log_every, found in ((1, each), (4, fourth)):
        tiny["training"]["log_every"] = log_every
        run = sslcore.train("agreement", data="noise", settings=tiny, **options)
        found += [line["loss"] for line in read_metrics(run.path / METRICS)]
    means = [sum(part) / len(part) for part in (each[:4], each[4:8], each[8:])]
    assert fourth == pytest.approx(means)


def _line(**numbers):
    return LogLine(3, 0.5, 1.25, 0.1, 100.0, Reading("features", 4, 0.5, 3.0), numbers)


def test_a_part_cannot_overwrite_a_number_of_the_engine():
    clashing = dict.fromkeys(ENGINE_KEYS, -1.0)
    assert _line(**clashing, agreement=2.0).to_dict() == {**_line().to_dict(), "agreement": 2.0}
    assert tuple(_line().to_dict()) == ENGINE_KEYS


class Clashing(nn.Module):
    def forward(self, projections: Tensor) -> dict:
        return {"loss": projections.square().mean(), "learning_rate": 3.0, "step": torch.tensor(1)}


def test_a_loss_that_would_overwrite_a_number_of_the_engine_is_refused_by_name(registry, add):
    add(registry, "loss", Clashing)
    recipe, _ = sslcore.api.make_recipe("simclr", loss="made-up", registry=registry)
    from sslcore.pipeline.build import ImageShape, build_pipeline

    said = r"loss made-up .* returns learning_rate, step, which the eng"
    with pytest.raises(CompositionError, match=said):
        build_pipeline(recipe, ImageShape(16, 1))


class Plain(nn.Module):
    def forward(self, projections: Tensor) -> dict:
        value = projections.square().mean()
        return {"loss": value, "whole": 3, "part": 0.5, "tensor": torch.tensor(2.0), "text": "no"}


def test_plain_numbers_of_a_loss_are_logged_as_well_as_tensors(registry, add, tiny, console):
    add(registry, "loss", Plain)
    options = {"settings": tiny, "registry": registry, "console": console, "evaluate": False}
    run = sslcore.train("agreement", data="noise", loss="made-up", **options)
    for line in read_metrics(run.path / METRICS):
        assert (line["whole"], line["part"], line["tensor"]) == (3, 0.5, 2)
        assert line.keys() == {*ENGINE_KEYS, "whole", "part", "tensor"}


def test_a_number_that_is_not_finite_is_written_as_null(tmp_path):
    metrics = Metrics(tmp_path / "m")
    metrics.write({"step": 1, "a": math.nan, "b": [math.inf, 1.5], "c": -math.inf})
    expected = {"step": 1, "a": None, "b": [None, 1.5], "c": None}
    assert json.loads((tmp_path / "m").read_text(), parse_constant=pytest.fail) == expected
    assert read_metrics(tmp_path / "m") == [expected]


def test_a_bad_line_is_left_out_and_those_after_it_are_kept(tmp_path):
    path = tmp_path / "m"
    bad = ['{"step": 2, "lo', "3", "[1]", "{}", '{"step": "3"}', '{"step": true}', "", "\udcff"]
    lines = ['{"step": 1}', *bad, '{"step": 5}']
    path.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    assert read_metrics(path) == [{"step": 1}, {"step": 5}]
    Metrics(path, upto=4)
    assert path.read_text() == '{"step": 1}\n'


class Overwriting(nn.Module):
    def forward(self, projections: Tensor) -> dict:
        return {"loss": projections.square().mean(), "projections": projections[0]}


def test_a_loss_that_would_overwrite_a_signal_is_refused_by_name(registry, add):
    add(registry, "loss", Overwriting)
    recipe, _ = sslcore.api.make_recipe("simclr", loss="made-up", registry=registry)
    from sslcore.pipeline.build import ImageShape, build_pipeline

    with pytest.raises(CompositionError, match="returns projections, which is a signal"):
        build_pipeline(recipe, ImageShape(16, 1))
