"""Installed plugins that are broken, conflicting, too new or missing."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest


def _plugins(site, *arguments, **environment):
    """The rows of `sslcore plugins --json`, by name, and what was said on stderr."""
    done = site.run(*arguments, "plugins", "--json", **environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {row["name"]: row for row in found["plugins"]}, done.stderr


def test_an_installed_plugin_is_active_and_says_what_it_offers(site, loss_plugin):
    site.add("good-plugin", loss_plugin("good_plugin", "agree"), version="1.2")
    rows, said = _plugins(site)
    assert rows["good_plugin"] == {
        "name": "good_plugin",
        "distribution": "good-plugin",
        "version": "1.2",
        "status": "active",
        "offers": {"loss": ["agree"]},
    }
    assert said == ""


def test_the_table_names_the_interpreter_whose_plugins_these_are(site):
    assert f"Installed for {sys.executable}" in site.run("plugins").stdout


HALF_WAY = """
import sslcore

@sslcore.hookimpl
def sslcore_heads():
    yield sslcore.Head(name="whole-head", summary="Made up", build="bad_plugin:Head")

@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(name="first", summary="Made up", build="bad_plugin:Loss")
    raise RuntimeError("half-way")
"""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        (HALF_WAY, "RuntimeError: half-way"),
        (HALF_WAY.replace('raise RuntimeError("half-way")', "yield 3"), "yielded 3, expected"),
        (HALF_WAY.replace('"first"', '"Not Kebab"'), "is not kebab-case"),
        (HALF_WAY.replace("losses()", "losses(what)"), "PluginValidationError"),
        ("x = 1", "it implements none of the hooks"),
        ("class Odd(BaseException): ...\nraise Odd('odd')", "Odd: odd"),
    ],
)
def test_a_broken_plugin_is_left_out_whole_with_one_line_that_names_it(site, source, said):
    site.add("bad-plugin", source)
    rows, warned = _plugins(site)
    assert rows["bad_plugin"]["status"] == "broken"
    assert said in rows["bad_plugin"]["error"]
    assert rows["bad_plugin"]["offers"] == {}
    assert rows["sslcore_simclr"]["status"] == "active"
    assert len(warned.splitlines()) == 1
    assert warned.startswith("warning: plugin bad_plugin (from bad-plugin 1.0) is broken")
    assert "see: sslcore --debug plugins" in warned


def test_debug_shows_where_a_plugin_broke(site):
    site.add("bad-plugin", HALF_WAY)
    assert "Traceback" not in site.run("plugins").stdout
    for arguments in (["--debug", "plugins"], ["plugins", "--debug"]):
        shown = site.run(*arguments).stdout
        assert "Traceback (most recent call last)" in shown
        assert 'raise RuntimeError("half-way")' in shown


def test_what_a_plugin_prints_does_not_get_into_what_a_command_prints(site, loss_plugin):
    site.add("loud-plugin", "print('hello')\n" + loss_plugin("loud_plugin", "loud"))
    rows, said = _plugins(site)
    assert rows["loud_plugin"]["status"] == "active"
    assert "hello" in said


def test_two_plugins_of_one_name_are_told_apart_by_their_distributions(site, loss_plugin):
    site.add("one-plugin", loss_plugin("one_plugin", "agree"), version="1.1")
    site.add("two-plugin", loss_plugin("two_plugin", "agree"), version="2.2")
    done = site.run("components", "loss", "agree")
    assert done.returncode == 2
    assert "offered by 2 plugins: use one-plugin:agree (1.1) or two-plugin:agree (2.2)" in (
        done.stderr
    )
    shown = site.run("components", "loss", "two-plugin:agree")
    assert shown.returncode == 0
    assert re.search(r"version +2\.2", shown.stdout)
    left = site.run("-p", "no:one-plugin", "components", "loss", "agree")
    assert left.returncode == 0


def test_two_plugins_of_one_distribution_with_one_name_are_told_apart_by_leaving_one_out(
    site, loss_plugin
):
    source = loss_plugin("twin", "agree")
    site.add("twins", source, module="twin", points={"one": "twin", "two": "twin_too"})
    (site.path / "twin_too.py").write_text(source)
    done = site.run("components", "loss", "agree")
    assert done.returncode == 2
    assert "leave one out: -p no:one or -p no:two" in done.stderr


@pytest.mark.parametrize(
    "source",
    [
        "SSLCORE_API = 99\n",
        # A plugin may fail before it states its contract version.
        "from sslcore.of_the_future import Quantum\nSSLCORE_API = 99\n",
    ],
)
def test_a_plugin_from_the_future_is_incompatible_and_says_who_must_upgrade(
    site, source, loss_plugin
):
    site.add("future-plugin", source + loss_plugin("future_plugin", "agree"))
    rows, said = _plugins(site, "--debug")
    assert rows["future_plugin"]["status"] == "incompatible"
    assert rows["future_plugin"]["error"].endswith("has 1: upgrade sslcore")
    assert "traceback" not in rows["future_plugin"]
    assert "is incompatible and was left out" in said
    assert "Traceback" not in said


def test_a_plugin_from_the_past_is_to_be_upgraded(site, loss_plugin):
    site.add("past-plugin", "SSLCORE_API = 0\n" + loss_plugin("past_plugin", "agree"))
    rows, _ = _plugins(site)
    assert rows["past_plugin"]["status"] == "incompatible"
    assert rows["past_plugin"]["error"].endswith("understands 1 or newer: upgrade past-plugin")


def test_a_plugin_of_this_time_may_say_so(site, loss_plugin):
    site.add("now-plugin", "SSLCORE_API = 1\n" + loss_plugin("now_plugin", "agree"))
    site.add("odd-plugin", "SSLCORE_API = '1'\n" + loss_plugin("odd_plugin", "agree"))
    rows, _ = _plugins(site)
    assert rows["now_plugin"]["status"] == "active"
    assert "SSLCORE_API must be an integer, got '1'" in rows["odd_plugin"]["error"]


def test_metadata_that_is_found_twice_counts_once(site, loss_plugin, tmp_path):
    site.add("good-plugin", loss_plugin("good_plugin", "agree"), version="1.0")
    # An older version further down the path, under a name that pip considers the same.
    other = type(site)(tmp_path / "other")
    other.add(
        "good-plugin",
        loss_plugin("good_plugin", "agree"),
        version="0.9",
        metadata_name="Good_Plugin",
        points={"good_plugin": "good_plugin", "left_behind": "good_plugin"},
    )
    site.path, first = other.path, site.path
    done = site.run("plugins", "--json", PYTHONPATH=f"{first}:{other.path}:{_inherited()}")
    rows = [row for row in json.loads(done.stdout)["plugins"] if row["distribution"] != "sslcore"]
    assert [(row["name"], row["version"]) for row in rows] == [("good_plugin", "1.0")]


def _inherited():
    return os.environ.get("PYTHONPATH", "")


@pytest.mark.parametrize("name", ["good_plugin", "good-plugin", "Good.Plugin"])
def test_a_plugin_is_blocked_by_any_of_its_names_before_or_after_the_command(
    site, name, loss_plugin
):
    site.add("good-plugin", loss_plugin("good_plugin", "agree"))
    rows, said = _plugins(site, "-p", f"no:{name}")
    assert rows["good_plugin"]["status"] == "blocked"
    assert rows["good_plugin"]["error"] == f"blocked: -p no:{name}"
    assert said == ""
    after = site.run("components", "loss", "agree", "--plugin", f"no:{name}")
    assert after.returncode == 2
    assert f"good_plugin (blocked: -p no:{name})" in after.stderr


def test_what_a_blocked_plugin_would_do_is_not_done(site):
    site.add("bad-plugin", "raise RuntimeError('it was imported')")
    assert _plugins(site, "-p", "no:bad-plugin")[1] == ""


def test_blocking_a_name_of_nobody_is_an_error_with_the_nearest(site):
    done = site.run("-p", "no:sslcore_simcrl", "methods")
    assert done.returncode == 2
    assert "no plugin is called that; nearest: sslcore_simclr" in done.stderr


def test_what_ships_can_be_blocked(site):
    rows, _ = _plugins(site, "-p", "no:sslcore_simclr", "-p", "no:sslcore_cpc")
    assert {name for name, row in rows.items() if row["status"] == "blocked"} == {
        "sslcore_simclr",
        "sslcore_cpc",
    }


@pytest.mark.parametrize(
    ("wanted", "active"),
    [
        (None, {"one_plugin", "two_plugin"}),
        ("", set()),
        ("two-plugin", {"two_plugin"}),
        (" one_plugin , two_plugin,", {"one_plugin", "two_plugin"}),
    ],
)
def test_the_environment_says_which_plugins_there_are_besides_what_ships(
    site, wanted, active, loss_plugin
):
    for name in ("one", "two"):
        site.add(f"{name}-plugin", loss_plugin(f"{name}_plugin", name))
    rows, said = _plugins(site, **({} if wanted is None else {"SSLCORE_PLUGINS": wanted}))
    others = {name: row for name, row in rows.items() if row["distribution"] != "sslcore"}
    assert {name for name, row in others.items() if row["status"] == "active"} == active
    assert all(row["status"] in ("active", "blocked") for row in others.values())
    assert all(row["status"] == "active" for name, row in rows.items() if name not in others)
    assert said == ""


def test_a_plugin_that_the_environment_leaves_out_can_be_asked_for(site, loss_plugin):
    site.add("good-plugin", loss_plugin("good_plugin", "agree"))
    rows, _ = _plugins(site, "-p", "good-plugin", SSLCORE_PLUGINS="")
    assert rows["good_plugin"]["status"] == "active"


def test_an_unknown_name_in_the_environment_is_a_warning(site):
    _, said = _plugins(site, SSLCORE_PLUGINS="nobody")
    assert "SSLCORE_PLUGINS names 'nobody', and no plugin is called that" in said


@pytest.mark.parametrize("command", [["methods"], ["plugins"]])
def test_a_strict_environment_makes_a_warning_about_a_plugin_an_error(site, command):
    site.add("bad-plugin", HALF_WAY)
    assert site.run(*command, SSLCORE_STRICT="0").returncode == 0
    done = site.run(*command, SSLCORE_STRICT="1")
    assert done.returncode == 2
    assert "Error: plugin bad_plugin (from bad-plugin 1.0) is broken" in done.stderr
    assert "warning:" not in done.stderr
    # Faulty plugins are listed too.
    assert ("bad_plugin" in done.stdout) == (command == ["plugins"])


def test_a_run_whose_plugin_was_uninstalled_says_what_to_install(site, tmp_path, loss_plugin):
    site.add("good-plugin", loss_plugin("good_plugin", "agree"), version="1.2")
    tiny = ["--set", "training.epochs=1", "--batch-size", "512", "--set", "data.image_size=8"]
    trained = site.run(
        *["train", "--method", "simclr", "--loss", "agree", "--output", tmp_path / "run"],
        *["--no-evaluate", *tiny],
    )
    assert trained.returncode == 0, trained.stderr
    recipe = (tmp_path / "run" / "recipe.toml").read_text()
    assert 'name = "good-plugin:agree"' in recipe
    assert 'from = "good-plugin 1.2"' in recipe
    for folder in ("good_plugin-1.2.dist-info/entry_points.txt", "good_plugin-1.2.dist-info"):
        path = site.path / folder
        path.rename(tmp_path / f"gone-{path.name}")
    done = site.run("evaluate", tmp_path / "run")
    assert done.returncode == 2
    assert "loss good-plugin:agree comes from good-plugin 1.2, which is not installed" in (
        done.stderr
    )
    assert "pip install good-plugin" in done.stderr
