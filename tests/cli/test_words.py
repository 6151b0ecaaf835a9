"""The command line answers a nearly correct word with the probable intention."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import sslcore.cli
from sslcore.compute.device import pick_device
from sslcore.errors import RunFolderError
from sslcore.system.files import write_safely

AUTOENCODER = ["train", "--method", "autoencoder"]
LONG = "x" * 5000
NO_TEXT = os.fsdecode(b"photos\xff")


@pytest.fixture
def cli(capsys):
    def run(*arguments):
        code = sslcore.cli.run([str(argument) for argument in arguments], debug=False)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert "unexpected:" not in said.err
        return code, said.out, said.err

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "simclr"], "unexpected 'simclr': did you mean --method simclr?"),
        (["train", "simcrl"], "unexpected 'simcrl'; nearest: simclr; a method is named by"),
        (["train", "--method", "simclr", "digits"], "did you mean --data digits?"),
        ([*AUTOENCODER, ".."], "did you mean --data ..?"),
        (["components", "nt-xent"], "(loss): sslcore components loss nt-xent"),
        (["components", "sslcore:knn"], "(evaluator): sslcore components evaluator sslcore:knn"),
        (["components", "autoencoder"], "sslcore methods autoencoder"),
        ([*AUTOENCODER, "--device", "cpu:5"], "cpu:5: there is only one cpu; use --device cpu"),
        ([*AUTOENCODER, "--data", ""], "--data: expected a path, got ''"),
        ([*AUTOENCODER, "--data", LONG], "(5000 characters): File name too long"),
        ([*AUTOENCODER, "--data", "~nosuchuser/a"], "there is no user '~nosuchuser' here"),
        ([*AUTOENCODER, "--data", NO_TEXT], "the path is not UTF-8"),
        ([*AUTOENCODER, "--output", LONG], "--output xxx"),
        ([*AUTOENCODER, "--output", ""], "--output: expected a path, got ''"),
        ([*AUTOENCODER, "--output", "~nosuchuser/a"], "there is no user '~nosuchuser' here"),
        ([*AUTOENCODER, "--output", NO_TEXT], "the path is not UTF-8"),
        ([*AUTOENCODER, "--config", LONG], "File name too long"),
        ([*AUTOENCODER, "--config", "~nosuchuser/a"], "there is no user '~nosuchuser' here"),
        ([*AUTOENCODER, "--config", NO_TEXT], "the path is not UTF-8"),
        ([*AUTOENCODER, "--config", "."], "--config .: can't be read: Is a directory"),
        (["train", "--resume", LONG], "File name too long"),
        (["train", "--resume", ""], "expected a path, got ''"),
        (["evaluate", "~nosuchuser/a"], "there is no user '~nosuchuser' here"),
        (["evaluate", NO_TEXT], "the path is not UTF-8"),
        ([*AUTOENCODER, "--set", f"training.epochs={'9' * 5000}"], "training.epochs: expected an"),
    ],
    ids=lambda value: " ".join(value).encode(errors="replace").decode()[:60],
)
def test_a_slip_is_answered_in_one_clear_line(arguments, said, cli):
    code, out, err = cli(*arguments)
    assert code == 2, err
    assert said in err
    assert len(err.splitlines()) == 1 or said.startswith("unexpected")
    assert len(err) < 2000
    assert out == ""
    assert list(Path().iterdir()) == []


def test_the_one_cpu_may_be_numbered():
    assert pick_device("cpu:0").type == "cpu"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs = 3", "epochs belongs under [training]"),
        ("lr = 3", "lr belongs under [optimizer]"),
        ("nothing = 3", "nothing: only `method` stands above the sections, got 3"),
        ("[loss]\ntemperature = 'hot'", "loss.temperature: expected a number > 0"),
        ("[loss]\ntemprature = 1", "loss.temprature: no such setting"),
        ("[loss]\nname = 'nt-xnt'", "no loss is called 'nt-xnt'"),
        ("[data]\nname = 'digit'", "no dataset is called 'digit'"),
        ("[evaluators.kn]\n", "no evaluator is called 'kn'"),
        ("[evaluators.knn]\nk = 'x'", "evaluator.k: expected an integer"),
        ("[optimizer]\nname = 'Adamm'", "no optimizer is called 'Adamm'"),
        ("[head]\nfeature_dim = 3", "head.feature_dim: the engine supplies it"),
        ("[los]", "[los]: no such section"),
        ("loss = 3", "loss: expected a section [loss]"),
        ("[training]\nepochs = 0", "training.epochs: expected an integer"),
        (f"[training]\nepochs = {'9' * 5000}", "not TOML"),
        ("a", "not TOML"),
    ],
)
def test_what_is_wrong_in_a_configuration_file_names_the_file(text, said, cli):
    Path("c.toml").write_text(text)
    code, _, err = cli("train", "--method", "simclr", "--config", "c.toml")
    assert code == 2
    assert said in err
    assert all("c.toml" in line for line in err.splitlines())


def test_a_mistake_on_the_command_line_does_not_name_the_file(cli):
    Path("c.toml").write_text("method = 'simclr'\n[loss]\ntemperature = 1\n")
    for arguments in (["--set", "loss.temperature=hot"], ["--loss", "nt-xnt"]):
        code, _, err = cli("train", "--config", "c.toml", *arguments)
        assert code == 2
        assert "c.toml" not in err


def test_none_on_the_command_line_is_none_where_a_setting_admits_it(cli):
    code, out, err = cli(*AUTOENCODER, "--set", "training.clip_grad_norm=none", "--dry-run")
    assert code == 0, err
    assert 'clip_grad_norm = "none"' in out


class _Interrupted(BaseException):
    pass


@pytest.mark.parametrize("error", [_Interrupted, MemoryError, KeyboardInterrupt])
def test_whatever_strikes_while_writing_leaves_no_half_file_behind(error, monkeypatch):
    def strike(descriptor):
        raise error

    path = Path("file")
    path.write_text("before")
    monkeypatch.setattr("os.fsync", strike)
    with pytest.raises(error):
        write_safely(path, "after")
    assert [path.name for path in Path().iterdir()] == ["file"]
    assert path.read_text() == "before"


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(RunFolderError, match="nowhere/file can't be written: No such file"):
        write_safely(tmp_path / "nowhere" / "file", "text")
