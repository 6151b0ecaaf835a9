"""Ctrl-C before a run exists prints a word, and no traceback."""

from __future__ import annotations

import pytest

import sslcore.cli
from sslcore.data import prepare


def test_ctrl_c_while_images_are_prepared_is_one_word(photos, tmp_path, monkeypatch, capsys):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare.Survey, "of", stopped)
    command = ["train", "--method", "simclr", "--data", str(photos({"": 4}))]
    command += ["--output", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as stop:
        sslcore.cli.main(command)
    assert stop.value.code == 130
    assert capsys.readouterr().err.split() == ["interrupted"]
    assert not (tmp_path / "run").exists()
