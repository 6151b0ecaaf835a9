"""Sweeps: which runs a product of settings and seeds makes."""

from __future__ import annotations

import pytest

from sslcore.errors import SettingsError, UsageError
from sslcore.recipe.sweep import read_sweeps, trials_of


def settings(trials):
    return [trial.settings for trial in trials]


def test_sweeps_make_all_combinations_with_every_seed():
    sweeps = read_sweeps(["loss.temperature=0.1,0.2", "optimizer.name=SGD,Adam"])
    found = trials_of(sweeps, seeds=2, first_seed=5)
    assert len(found) == 8
    assert found[0].settings == (
        ("loss", "temperature", 0.1),
        ("optimizer", "name", "SGD"),
        ("training", "seed", 5),
    )
    assert found[0].folder == "temperature=0.1,optimizer=SGD,seed=5"
    assert len({trial.folder for trial in found}) == 8


def test_one_seed_is_that_of_the_request():
    found = trials_of(read_sweeps(["loss.temperature=0.1,0.2"]), first_seed=5)
    assert settings(found) == [(("loss", "temperature", 0.1),), (("loss", "temperature", 0.2),)]


def test_methods_and_parts_are_swept_over_by_their_names():
    found = trials_of(read_sweeps(["method=simclr,vicreg", "encoder=vit,cnn4"]))
    assert [(trial.method, trial.settings) for trial in found] == [
        ("simclr", (("encoder", "name", "vit"),)),
        ("simclr", (("encoder", "name", "cnn4"),)),
        ("vicreg", (("encoder", "name", "vit"),)),
        ("vicreg", (("encoder", "name", "cnn4"),)),
    ]
    assert found[0].folder == "method=simclr,encoder=vit"
    assert all(trial.method is None for trial in trials_of(read_sweeps(["loss.a=1,2"])))


def test_values_are_read_as_those_of_set_are():
    (sweep,) = read_sweeps(["encoder.widths=[8, 16],[32],none"])
    assert sweep.values == ([8, 16], [32], "none")


def test_draws_are_some_of_the_combinations_and_the_same_for_a_seed():
    sweeps = read_sweeps(["loss.temperature=1,2,3,4,5,6,7,8", "optimizer.lr=1,2,3,4,5,6,7,8"])
    first, again = (trials_of(sweeps, draws=10) for _ in range(2))
    other = trials_of(sweeps, draws=10, first_seed=1)
    every = settings(trials_of(sweeps))
    assert settings(first) == settings(again)
    assert len(set(map(str, settings(first)))) == 10
    assert all(each in every for each in settings(first))
    assert settings(other) != settings(first)
    assert len(trials_of(sweeps, draws=100)) == 64


def test_folders_differ_where_names_or_values_look_alike():
    sweeps = read_sweeps(["encoder.dim=1,2", "head.dim=1,2", "data.root=a/b,a:b"])
    found = trials_of(sweeps)
    assert len({trial.folder for trial in found}) == len(found) == 8
    assert not any("/" in trial.folder for trial in found)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["temperature=1,2"], "expected SECTION.NAME=VALUE,VALUE"),
        (["loss.temperature"], "expected SECTION.NAME=VALUE,VALUE"),
        (["loss.temperature=1,,2"], "expected SECTION.NAME=VALUE,VALUE"),
        (["loss.temperature=1,1"], "there is only one value"),
        (["a.b=1,2", "a.b=3,4"], "given twice"),
    ],
)
def test_malformed_sweeps_are_refused(texts, said):
    with pytest.raises(SettingsError, match=said):
        read_sweeps(texts)


def test_more_runs_than_anybody_waits_for_are_refused():
    sweeps = read_sweeps([f"loss.x{number}=1,2,3,4" for number in range(6)])
    with pytest.raises(UsageError, match="draw some of them with --trials"):
        trials_of(sweeps)
    assert len(trials_of(sweeps, draws=7)) == 7
