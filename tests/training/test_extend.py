"""`--extend`: a new run that goes on from a finished one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import sslcore
import sslcore.cli
from sslcore.errors import InterruptedRun

SETTINGS = {
    "training": {"epochs": 1, "batch_size": 512, "precision": "fp32"},
    "encoder": {"widths": [4, 8]},
}
STILL = {"optimizer": {"name": "SGD", "lr": 1e-30, "weight_decay": 0.0}}


def _model(run):
    newest = max((run.path / "checkpoint").glob("*.safetensors"), key=lambda path: path.name)
    return {name: item for name, item in load_file(newest).items() if name.startswith("model/")}


@pytest.fixture
def parent(console):
    return sslcore.train(
        method="byol",
        encoder="conv-encoder",
        settings=SETTINGS,
        evaluators=["knn"],
        output="parent",
        console=console,
    )


def test_it_goes_on_with_the_weights_of_all_parts(parent, console):
    still = STILL | {"teacher": {"momentum": 1.0}}
    run = sslcore.train(extend=parent.path, settings=still, output="longer", console=console)
    before, after = _model(parent), _model(run)
    assert before.keys() == after.keys()
    assert any("/teacher." in name for name in before)
    assert any("/head." in name for name in before)
    # Statistics of batch norm follow the batches, whatever the rate.
    weights = [
        name
        for name in before
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    ]
    assert all(torch.equal(before[name], after[name]) for name in weights)


def test_it_is_a_new_run_with_a_recipe_and_steps_of_its_own(parent, console):
    settings = {"training": {"epochs": 2}}
    run = sslcore.train(extend=parent.path, settings=settings, output="longer", console=console)
    config = run.config()
    assert config["init"]["path"] == str(parent.path.absolute())
    assert config["init"]["part"] == "run"
    assert config["training"]["epochs"] == 2
    assert config["encoder"]["widths"] == [4, 8]
    assert run.metrics[-1]["step"] == 4
    scores = run.read_evaluation()
    assert scores["random_init"] == parent.read_evaluation()["encoder"]
    # The parent stays as it is.
    assert parent.config()["training"]["epochs"] == 1


def test_a_longer_run_that_was_stopped_goes_on_to_the_same_weights(parent, console):
    whole = sslcore.train(extend=parent.path, output="whole", console=console)
    with pytest.raises(InterruptedRun):
        sslcore.train(extend=parent.path, output="cut", console=console, time_limit=1e-9)
    resumed = sslcore.train(resume="cut", console=console)
    first, second = (load_file(each.path / "encoder.safetensors") for each in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_longer_run_can_be_made_longer(parent, console):
    longer = sslcore.train(extend=parent.path, output="longer", console=console)
    longest = sslcore.train(extend=longer.path, output="longest", console=console)
    assert longest.config()["init"]["path"] == str(longer.path.absolute())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--extend", "nowhere"], "nowhere"),
        (["--extend", "unfinished"], "has not finished; go on with it: sslcore train --resume"),
        (["--extend", "parent", "--set", "encoder.widths=8,16"], "has other parts than these"),
        (["--extend", "parent", "--method", "simclr"], "leave out --method"),
        (["--extend", "parent", "--init", "parent"], "leave out --method"),
        (["--extend", "parent", "--resume", "parent"], "choose one"),
        (["--extend", "parent", "--seeds", "2"], "--extend is for one run"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(arguments, said, parent, capsys):
    unfinished = Path("unfinished")
    (unfinished / "checkpoint").mkdir(parents=True)
    (unfinished / "recipe.toml").write_text((parent.path / "recipe.toml").read_text())
    output = [] if "--resume" in arguments else ["-o", "longer"]
    assert sslcore.cli.run(["train", *output, *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not Path("longer").exists()
