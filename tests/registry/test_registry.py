"""Finding plugins and resolving names."""

from __future__ import annotations

import types

import pytest

import sslcore
from sslcore.errors import BrokenPluginWarning, UnknownNameError, UsageError
from sslcore.registry.registry import Registry


def _plugin(**hooks):
    module = types.ModuleType("made_up")
    for name, records in hooks.items():

        def hook(records=records):
            yield from records

        # pluggy reads hook arguments from the signature, so it must not show the helper's own.
        setattr(module, name, sslcore.hookimpl(_without_arguments(hook)))
    return module


def _without_arguments(function):
    def call():
        return function()

    return call


def _loss(name="made-up", **more):
    return sslcore.Loss(name=name, summary="Made up", build="made_up:Loss", **more)


def test_a_record_is_found_by_name_and_by_distribution_and_name():
    registry = Registry()
    registry.register(_plugin(sslcore_losses=[_loss()]), name="p", distribution="d", version="2")
    assert registry.resolve("loss", "made-up").origin.version == "2"
    assert registry.resolve("loss", "d:made-up").origin.plugin == "p"


def test_a_bare_name_of_two_plugins_is_an_error_that_names_both_with_versions():
    registry = Registry()
    for distribution, version in (("one", "1.0"), ("two", "2.0")):
        registry.register(
            _plugin(sslcore_losses=[_loss()]),
            name=distribution,
            distribution=distribution,
            version=version,
        )
    with pytest.raises(UsageError, match=r"one:made-up \(1.0\) or two:made-up \(2.0\)"):
        registry.resolve("loss", "made-up")
    assert registry.resolve("loss", "two:made-up").origin.version == "2.0"


def test_what_ships_cannot_be_shadowed():
    registry = Registry()
    registry.register(_plugin(sslcore_losses=[_loss()]), name="theirs", distribution="theirs")
    registry.register(_plugin(sslcore_losses=[_loss()]), name="ours", distribution="sslcore")
    assert registry.resolve("loss", "made-up").origin.plugin == "ours"
    assert registry.resolve("loss", "theirs:made-up").origin.plugin == "theirs"


def test_an_unknown_name_comes_with_the_nearest_names_and_how_to_list(registry):
    with pytest.raises(UnknownNameError, match=r"no loss is called 'nt-xnt'; nearest: nt-xent"):
        registry.resolve("loss", "nt-xnt")
    with pytest.raises(UnknownNameError, match="sslcore components loss"):
        registry.resolve("loss", "zzzz")


def _raises_half_way():
    yield _loss("first")
    raise RuntimeError("half-way")


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (_raises_half_way, "half-way"),
        (lambda: iter([sslcore.Head(name="h", summary="s", build="m:H")]), "expected sslcore.Loss"),
        (lambda: 3, "expected it to yield records"),
        (lambda: iter([_loss(), _loss()]), "twice"),
    ],
)
def test_a_broken_plugin_is_left_out_whole_with_one_warning(hook, said):
    module = types.ModuleType("broken")
    module.sslcore_losses = sslcore.hookimpl(_without_arguments(hook))
    registry = Registry()
    with pytest.warns(BrokenPluginWarning, match=f"plugin broken .*{said}"):
        registry.register(module, name="broken")
    assert registry.entries("loss") == []
    assert registry.plugins[0].status == "broken"
    with pytest.raises(UnknownNameError, match="failed to load: broken"):
        registry.resolve("loss", "first")


def test_a_hook_of_no_known_name_breaks_the_plugin():
    module = types.ModuleType("misspelt")
    module.sslcore_loses = sslcore.hookimpl(_without_arguments(lambda: iter([])))
    with pytest.warns(BrokenPluginWarning):
        Registry().register(module, name="misspelt")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "Not Kebab"}, "kebab-case"),
        ({"summary": "two\nlines"}, "one line"),
        ({"build": "no-colon"}, "package.module:attribute"),
    ],
)
def test_a_bad_record_is_refused_when_it_is_made(change, said):
    with pytest.raises(ValueError, match=said):
        sslcore.Loss(**{"name": "ok", "summary": "s", "build": "m:C", **change})


METHOD = {
    "name": "ok",
    "summary": "s",
    "augmentation": "two-views",
    "encoder": "small-cnn",
    "head": None,
    "loss": "dist:nt-xent",
}


def test_a_method_may_name_parts_of_other_distributions_and_no_head():
    sslcore.Method(**METHOD)
    sslcore.Method(**{**METHOD, "augmentation": ("patches", "My.dist_2:frames"), "head": "a-b"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"augmentation": ()}, "augmentation must be a tuple of names"),
        ({"augmentation": ("a", 3)}, "3 is no name of a part"),
        ({"encoder": None}, "encoder: None is no name of a part"),
        ({"encoder": "Small CNN"}, "expected kebab-case, or distribution:name"),
        ({"loss": ":nt-xent"}, "loss: ':nt-xent' is no name"),
        ({"head": 3}, "head: 3 is no name"),
        ({"evaluators": "knn"}, "evaluators must be a tuple of names"),
        ({"settings": {"los": {}}}, "no section 'los'"),
        ({"settings": {"teacher": {"momentum": 0.5}}}, "no section 'teacher'"),
        ({"settings": {"loss": 3}}, "section 'loss' must be a dict of settings"),
        ({"settings": {"loss": {3: 3}}}, "section 'loss' must be a dict of settings by name"),
        ({"settings": [("loss", {})]}, "settings must be a dict of sections"),
        ({"teacher": {"momentum": 0.5}}, "teacher must be a sslcore.Teacher"),
    ],
)
def test_a_bad_method_is_refused_when_it_is_made(change, said):
    with pytest.raises(ValueError, match=said) as refused:
        sslcore.Method(**{**METHOD, **change})
    assert "method 'ok'" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clips": "yes"}, "clips must be True or False"),
        ({"default": 1}, "default must be True or False"),
        ({"opens": ".csv"}, "opens must be a tuple of file endings"),
        ({"opens": ("csv",)}, "opens must be a tuple of file endings"),
        ({"opens": ("//x",)}, "opens must be a tuple of file endings"),
        ({"opens": (3,)}, "opens must be a tuple of file endings"),
        ({"example": "write"}, "example 'write' is not of the form"),
        ({"defaults": {"data": {}}}, "defaults: no section 'data'"),
        ({"defaults": [1]}, "defaults must be a dict of sections"),
        ({"defaults": {"head": {"dim": 1}}}, "'head' must name the head .* write 'head:NAME'"),
        ({"defaults": {"head:Big": {}}}, "'Big' is no name of a part"),
        ({"defaults": {"head:big": 3}}, "section 'head:big' must be a dict of settings"),
        ({"defaults": {"training:x": {}}}, "no section 'training:x'"),
    ],
)
def test_a_bad_data_set_is_refused_when_it_is_made(change, said):
    with pytest.raises(ValueError, match=said):
        sslcore.Dataset(**{"name": "ok", "summary": "s", "build": "m:C", **change})


@pytest.mark.parametrize("name", ["momentum", "final_momentum"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.5", True])
def test_a_teachers_momentum_outside_of_0_to_1_is_refused_when_it_is_made(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a number from 0 to 1"):
        sslcore.Teacher(**{name: value})


def test_a_teachers_momentum_may_be_either_end():
    sslcore.Teacher(momentum=0, final_momentum=1.0)
    with pytest.raises(ValueError, match="momentum"):
        sslcore.Teacher(momentum=None)


def test_every_shipped_plugin_is_active(registry):
    shipped = [plugin for plugin in registry.plugins if plugin.origin.shipped]
    assert {plugin.name for plugin in shipped} == {
        "sslcore_autoencoder",
        "sslcore_byol",
        "sslcore_classifier",
        "sslcore_cpc",
        "sslcore_dino",
        "sslcore_distill",
        "sslcore_huggingface",
        "sslcore_infonce",
        "sslcore_mae",
        "sslcore_moco",
        "sslcore_optimizers",
        "sslcore_probes",
        "sslcore_simclr",
        "sslcore_tables",
        "sslcore_timm",
        "sslcore_torchvision",
        "sslcore_trackers",
        "sslcore_vicreg",
        "sslcore_webdataset",
    }
    assert all(plugin.status == "active" for plugin in shipped)


def test_a_hook_that_there_is_none_of_is_named_with_the_nearest():
    plugin = types.SimpleNamespace(sslcore_loss=sslcore.hookimpl(lambda: iter(())))
    with pytest.warns(UserWarning, match="there is no hook sslcore_loss; nearest: sslcore_losses"):
        status = Registry().register(plugin, name="odd", distribution="odd", version="1")
    assert status.status == "broken"
