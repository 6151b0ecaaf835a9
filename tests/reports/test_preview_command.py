"""`sslcore preview`, as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import sslcore.cli

MY_AUGMENTATION = '''
import sslcore
import torch
from torch import nn


@sslcore.hookimpl
def sslcore_augmentations():
    yield sslcore.Augmentation(name="mine", summary="Mine", build="my_augmentation:Mine")


class Mine(nn.Module):
    """Two equal views."""

    def forward(self, images: torch.Tensor) -> "Views":
        return {"views": torch.stack([images, images])}


from sslcore.signals import Views
'''


@pytest.fixture
def preview(capsys):
    def run(*arguments):
        code = sslcore.cli.run(["preview", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_preview_is_a_picture_whose_path_is_printed(preview):
    code, out, err = preview("--method", "simclr")
    assert (code, out) == (0, "preview.png\n")
    assert err.startswith("note: simclr with the preset quick, as digits suggests: ")
    assert err.count("\n") == 1
    with Image.open("preview.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300


def test_it_takes_settings_and_a_plugin_of_ones_own(preview):
    Path("my_augmentation.py").write_text(MY_AUGMENTATION)
    code, out, _ = preview(
        "--method", "simclr", "--augmentation", "mine", "-p", "./my_augmentation.py", "-o", "a.png"
    )
    assert (code, out) == (0, "a.png\n")
    assert preview("--method", "simclr", "--set", "augmentation.flip=0", "-o", "b.png")[0] == 0
    assert preview("--method", "simclr", "--set", "augmentation.flip=1", "-o", "c.png")[0] == 0
    assert Path("b.png").read_bytes() != Path("c.png").read_bytes()


def test_the_same_request_gives_the_same_picture(preview):
    assert preview("--method", "simclr", "--seed", 3, "-o", "a.png")[0] == 0
    assert preview("--method", "simclr", "--seed", 3, "-o", "b.png")[0] == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "simclr", "-o", "a.jpg"], "a preview is a PNG"),
        (["--method", "simclr", "-o", "no/a.png"], "there is no folder no"),
        (["--method", "simclr", "-o", "folder.png"], "it is a folder"),
        (["--method", "sinclair"], "no method is called 'sinclair'"),
        (["--method", "simclr", "--set", "augmentation.flop=1"], "no such setting"),
        ([], "no method is given"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(preview, arguments, said):
    Path("folder.png").mkdir()
    code, out, err = preview(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert [path.name for path in Path().iterdir()] == ["folder.png"]


def test_ten_images_without_classes_have_a_preview(preview, photos):
    code, _, err = preview("--method", "simclr", "--data", photos({"": 10}), "--batch-size", 8)
    assert code == 0, err
