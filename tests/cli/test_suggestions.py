"""What goes with what is told from sources, and says what choosing would say."""

from __future__ import annotations

import itertools

import pytest
from torch import Tensor, nn

import sslcore
from sslcore.cli.describe import describe_component, describe_method
from sslcore.cli.suggestions import (
    alternatives,
    consumers,
    fits,
    providers,
    readable,
    to_try,
    works,
)
from sslcore.recipe.request import Request
from sslcore.recipe.resolve import resolve
from sslcore.recipe.wiring import STAGES, fits_together, interface_of_entry, stage_problems
from sslcore.registry.registry import Registry, default_registry


def _stages(registry):
    for names in itertools.product(*(registry.entries(kind) for kind in STAGES)):
        yield [(entry, interface_of_entry(entry)) for entry in names if entry is not None]


@pytest.mark.parametrize("teacher", [False, True])
@pytest.mark.parametrize("clips", [False, True])
def test_parts_fit_together_exactly_where_choosing_them_has_no_problems(clips, teacher):
    registry = default_registry()
    answers = set()
    for stages in itertools.islice(_stages(registry), 0, None, 61):
        problems = stage_problems(stages, clips=clips, teacher=teacher, registry=registry)
        answers.add(fits_together(stages, clips=clips, teacher=teacher))
        assert fits_together(stages, clips=clips, teacher=teacher) == (not problems)
    assert answers == {True, False}


def test_every_shipped_method_works_and_each_alternative_is_accepted_when_chosen():
    registry = default_registry()
    for entry in registry.entries("method"):
        assert works(entry.record, registry)
        for kind, others in alternatives(entry.record, registry).items():
            for other in others:
                clips = not fits(entry.record, registry, _stage(other), clips=False)
                data = "moving-digits" if clips else "digits"
                request = Request(method=entry.name, data=data, **{kind: other.name})
                recipe, _ = resolve(request, registry)
                assert getattr(recipe, kind).name == other.name


def _stage(entry):
    return entry, interface_of_entry(entry)


def test_an_alternative_that_is_not_offered_is_refused_when_chosen():
    registry = default_registry()
    simclr = registry.resolve("method", "simclr").record
    offered = {entry.name for entry in alternatives(simclr, registry)["loss"]}
    for entry in registry.entries("loss"):
        if entry.name in offered or entry.name == "nt-xent":
            continue
        with pytest.raises(sslcore.SslcoreError, match="which nothing before it provides"):
            resolve(Request(method="simclr", loss=entry.name), registry)


def test_every_shipped_part_has_a_command_to_try_that_resolves():
    registry = default_registry()
    for kind in (*STAGES, "evaluator", "dataset"):
        for entry, interface in readable(registry, kind):
            words = to_try(entry, registry, interface).split()
            assert words[:2] == ["sslcore", "train"], entry
            chosen = dict(zip(words[2::2], words[3::2], strict=True))
            data = chosen.pop("--data", None)
            evaluator = chosen.pop("--evaluator", None)
            asked = {option.removeprefix("--"): name for option, name in chosen.items()}
            data = "." if data == "FOLDER" else data
            recipe, _ = resolve(
                Request(**asked, data=data, evaluators=[evaluator] if evaluator else ()), registry
            )
            assert entry.build in {part.build for part in recipe.parts}


def test_what_only_a_head_makes_is_scored_with_a_method_whose_head_makes_it():
    whole = default_registry()
    evaluator = _stage(whole.resolve("evaluator", "reconstruction"))
    assert to_try(evaluator[0], whole, evaluator[1]).startswith("sslcore train --method autoenc")
    heads = ("sslcore_autoencoder", "sslcore_mae")
    without = Registry([one for one in whole.plugins if one.name not in heads])
    assert without.names("method")
    assert to_try(evaluator[0], without, evaluator[1]) == ""


def test_a_signal_meets_the_parts_that_provide_it_and_those_that_ask_for_it():
    registry = default_registry()
    head = _stage(registry.resolve("head", "projection"))
    (features,) = providers(head, registry)
    assert features.signal == "features"
    assert {part.kind for part in features.parts} == {"encoder"}
    (projections,) = consumers(head, registry)
    taking = {part.name for part in projections.parts}
    assert {"nt-xent", "infonce", "vicreg"} <= taking
    assert not taking & {"mse", "cpc"}


def test_a_loss_that_reads_the_teacher_is_among_those_that_take_what_it_averages(registry):
    head = _stage(registry.resolve("head", "prediction"))
    taken = {meeting.signal: meeting.parts for meeting in consumers(head, registry)}
    assert "byol" in {part.name for part in taken["projections"]}
    loss = _stage(registry.resolve("loss", "byol"))
    made = {meeting.signal: meeting.parts for meeting in providers(loss, registry)}
    assert {part.kind for part in made["teacher_projections"]} == {"head"}


class NeedsMore(nn.Module):
    """A loss.

    Args:
        strength: how much, > 0.
    """

    def __init__(self, *, strength: float) -> None:
        super().__init__()

    def forward(self, projections: Tensor, of_nobody: Tensor) -> Tensor:
        return projections.sum()


def test_a_part_that_goes_with_nothing_has_no_command_and_says_what_is_missing(registry, add):
    add(registry, "loss", NeedsMore)
    shown = describe_component(registry.resolve("loss", "made-up"), registry)
    assert shown["try"] == ""
    lacking = {row["signal"]: row["parts"] for row in shown["goes with"]}
    assert lacking["of_nobody"] == []


class NeedsASetting(nn.Module):
    def __init__(self, *, strength: float) -> None:
        super().__init__()

    def forward(self, projections: Tensor) -> Tensor:
        return projections.sum()


def test_a_setting_that_must_be_given_is_in_the_command(registry, add):
    add(registry, "loss", NeedsASetting)
    shown = describe_component(registry.resolve("loss", "made-up"), registry)
    assert shown["try"].endswith("--loss made-up --set loss.strength=VALUE")


def test_a_method_is_shown_with_the_settings_of_all_its_parts_and_its_own_values():
    registry = default_registry()
    shown = describe_method(registry.resolve("method", "simclr"), registry)
    settings = {row["name"]: row for row in shown["settings"]}
    assert settings["head.batch_norm"]["default"] is True
    assert settings["loss.temperature"]["type"] == "a number > 0"
    assert settings["loss.temperature"]["help"]
    assert settings["training.warmup_epochs"]["default"] == 1.0
    assert settings["optimizer.lr"]["default"] == 0.07
    assert shown["try"] == "sslcore train --method simclr"
    assert [row["kind"] for row in shown["stages"]] == list(STAGES)


def test_what_the_engine_takes_is_not_said_to_be_taken_by_nobody(registry):
    crops = _stage(registry.resolve("augmentation", "multi-crop"))
    taken = {meeting.signal: meeting for meeting in consumers(crops, registry)}
    assert taken["local_views"].engine
    assert not taken["views"].engine


def test_a_data_sets_page_says_what_it_suggests_to_other_parts(registry):
    shown = describe_component(registry.resolve("dataset", "digits"), registry)
    assert shown["suggests"]["training.epochs"] == 10
    assert "suggests" not in describe_component(registry.resolve("dataset", "folder"), registry)
