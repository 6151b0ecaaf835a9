"""Names of the contract that were changed keep working, with a warning once per plugin."""

from __future__ import annotations

import types
import warnings
from typing import TypedDict

import pytest
import torch
from torch import Tensor, nn

import sslcore
from sslcore.contract import api_version as compatibility
from sslcore.contract.api_version import Renamed, check_api, current_signal, stated_in_source
from sslcore.contract.interface import with_current_names
from sslcore.contract.static_interface import static_interface
from sslcore.errors import PluginWarning, UsageError
from sslcore.evaluation.evaluate import needs_labels
from sslcore.registry.registry import Registry

OLD_HOOK = Renamed("sslcore_criteria", "sslcore_losses", "0.2", "yield sslcore.Loss as before")
OLD_SIGNAL = Renamed("embeddings", "projections", "0.3")


@pytest.fixture(autouse=True)
def _made_up(monkeypatch):
    monkeypatch.setattr(compatibility, "RENAMED_HOOKS", (OLD_HOOK,))
    monkeypatch.setattr(compatibility, "RENAMED_SIGNALS", (OLD_SIGNAL,))
    monkeypatch.setattr(compatibility, "_told", set())


def _old_plugin(*names):
    module = types.ModuleType("old_plugin")
    records = [sslcore.Loss(name=name, summary="Made up", build="old_plugin:X") for name in names]

    def sslcore_criteria():
        yield from records

    # pluggy reads what a hook is called off the attribute.
    module.sslcore_criteria = sslcore.hookimpl(_without_closure(sslcore_criteria))
    return module


def _without_closure(function):
    def sslcore_criteria():
        return function()

    return sslcore_criteria


def test_no_name_has_been_changed_yet():
    # With an entry, CONTRIBUTING.md is to list it.
    assert not compatibility.API_VERSION > 1


def test_a_hook_under_its_old_name_works_and_is_warned_of_once():
    registry = Registry()
    with pytest.warns(PluginWarning) as said:
        registry.register(_old_plugin("old"), name="p", distribution="d", version="2")
    assert [str(warning.message) for warning in said] == [
        "plugin p (from d 2) uses an old name: sslcore_criteria is called sslcore_losses since "
        "sslcore 0.2: yield sslcore.Loss as before"
    ]
    assert registry.resolve("loss", "old").plugin == "p"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Registry().register(_old_plugin("old"), name="p", distribution="d", version="2")


def test_a_hook_that_was_never_there_is_still_an_error():
    module = types.ModuleType("misspelt")
    module.sslcore_criterions = sslcore.hookimpl(lambda: iter([]))
    with pytest.warns(PluginWarning, match="is broken"):
        Registry().register(module, name="misspelt")


class OldLoss(nn.Module):
    def forward(self, embeddings: Tensor) -> Tensor:
        first, second = embeddings
        return (first - second).square().mean()


class OldSignals(TypedDict):
    embeddings: Tensor


class OldHead(nn.Module):
    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(feature_dim, 8)

    def forward(self, features: Tensor) -> OldSignals:
        return {"embeddings": self.layer(features)}


class OldStudent(nn.Module):
    """A loss that reads the teacher's signal by its old name, and a newer one by its own."""

    def forward(self, projections: Tensor, teacher_embeddings: Tensor) -> Tensor:
        return (projections - teacher_embeddings).square().mean()


@pytest.mark.parametrize(
    ("kind", "target", "more"),
    [
        ("loss", OldLoss, {}),
        ("head", OldHead, {}),
        ("loss", OldStudent, {"teacher": {"momentum": 0.5}}),
    ],
)
def test_a_part_with_an_old_signal_trains_with_parts_of_today(
    kind, target, more, registry, add, tiny, console
):
    add(registry, kind, target)
    tiny |= more
    with pytest.warns(PluginWarning, match="uses an old name: embeddings is called") as said:
        run = sslcore.train(
            "simclr",
            data="noise",
            settings=tiny | {"augmentation": {"size": 8}},
            registry=registry,
            console=console,
            evaluate=False,
            encoder="small-cnn",
            **{kind: "made-up"},
        )
    assert len([one for one in said if "an old name" in str(one.message)]) == 1
    assert run.finished


def test_a_strict_environment_takes_no_old_names(registry, add, tiny, console, monkeypatch):
    add(registry, "loss", OldLoss)
    monkeypatch.setenv("SSLCORE_STRICT", "1")
    with pytest.raises(UsageError, match="uses an old name: embeddings"):
        sslcore.train("simclr", data="noise", settings=tiny, registry=registry, loss="made-up")


def test_a_teachers_signal_is_renamed_with_the_students():
    assert current_signal("embeddings") == "projections"
    assert current_signal("teacher_embeddings") == "teacher_projections"
    assert current_signal("features") == "features"


def test_an_evaluator_may_ask_by_an_old_name(monkeypatch):
    old = Renamed("probe_targets", "train_labels", "0.2")
    monkeypatch.setattr(compatibility, "RENAMED_SIGNALS", (old,))
    assert needs_labels(lambda probe_targets: {})
    assert not needs_labels(lambda probe_features: {})


def test_an_interface_that_is_shown_has_the_names_of_today():
    found = with_current_names(sslcore.contract.interface.interface_of(OldHead))
    assert found.provides == {"projections": True}
    assert list(static_interface("sslcore_simclr.heads:Projection").provides) == ["projections"]


def test_a_version_that_is_no_integer_is_refused():
    check_api(None, "d")
    check_api(compatibility.API_VERSION, "d")
    for wrong in ("1", 1.0, True):
        with pytest.raises(TypeError, match="must be an integer"):
            check_api(wrong, "d")


def test_the_version_is_read_from_source_without_running_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "says_seven.py").write_text("raise RuntimeError\nSSLCORE_API = 7\n")
    (tmp_path / "says_nothing.py").write_text("SSLCORE_API = seven()\n")
    assert stated_in_source("says_seven") == 7
    assert stated_in_source("says_nothing") is None
    assert stated_in_source("is_not_there.at_all") is None


def test_signals_pass_under_their_old_names_in_both_directions():
    from sslcore.pipeline.pipeline import call

    made = call(OldHead(4), {"features": torch.zeros(2, 3, 4)})
    assert list(made) == ["projections"]
    assert call(OldLoss(), made).item() == 0
