"""Objects of the right class that do not fit the run that they are given for."""

from __future__ import annotations

import pytest
from torch import nn

import sslcore
from sslcore.errors import RunFolderError, UsageError


@pytest.mark.parametrize("resized", ["encoder", "head"])
def test_an_object_with_other_tensors_than_the_run_is_refused_in_one_line(
    resized, train, tmp_path, objects, console
):
    run = train(tmp_path / "run", evaluate=False)
    before = run.recipe_path.read_bytes()
    deeper = type(objects["encoder"])()
    deeper.body.append(nn.BatchNorm2d(8))
    others = {"encoder": deeper, "head": nn.Sequential(nn.Linear(8, 4))}
    given = {**objects, resized: others[resized]}
    with pytest.raises(UsageError, match="do not fit the weights that the run began with") as told:
        sslcore.evaluate(run.path, **given, console=console)
    assert f"{resized}.module." in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match="do not fit the weights that the run began with"):
        train(tmp_path / "run", resume=run.path, **{resized: others[resized]})
    assert run.recipe_path.read_bytes() == before


def test_build_refuses_an_object_in_one_line(objects):
    with pytest.raises(UsageError, match=r"takes the name of a part, got Net; .* sslcore\.train"):
        sslcore.build("encoder", objects["encoder"])


def test_what_needs_the_encoder_alone_says_how_to_load_it(train, tmp_path):
    run = train(tmp_path / "run", evaluate=False)
    with pytest.raises(RunFolderError, match=r"sslcore\.load_encoder\(RUN, augmentation=…, enc"):
        sslcore.embed(run.path, data="digits", output=tmp_path / "features.npy")
    assert not (tmp_path / "features.npy").exists()
