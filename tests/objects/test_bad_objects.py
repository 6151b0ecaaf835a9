"""Objects that are no parts: one line each, and nothing is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import v2

from sslcore.errors import UsageError


class Pair(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)), x


class Joint(nn.Module):
    def forward(self, x, y):
        return x + y


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


def tensors(*items):
    return [torch.as_tensor(item) for item in items]


BAD = {
    "encoder is an int": ({"encoder": 3}, "encoder: expected a name, an nn.Module,.* got int 3"),
    "encoder is no name": ({"encoder": "resnet81"}, "no encoder is called 'resnet81'; nearest"),
    "encoder returns a tuple": ({"encoder": Pair()}, "forward returned tuple, expected a tensor"),
    "encoder takes two tensors": ({"encoder": Joint()}, "takes x, y; expected one tensor"),
    "encoder makes no module": ({"encoder": lambda: 3}, "made int, expected an nn.Module"),
    "encoder fails": ({"encoder": nn.Linear(3, 4)}, "can't work on .*RuntimeError"),
    "head returns maps": ({"head": nn.Unflatten(1, (2, 4))}, r"expected projections \(N, D\)"),
    "loss returns a vector": ({"loss": lambda z1, z2: (z1 - z2).sum(1)}, "must return a scalar"),
    "loss raises": ({"loss": lambda projections: 1 / 0}, "division by zero.*ZeroDivisionError"),
    "loss has an unknown signal": (
        {"loss": lambda z: z.mean()},
        r"needs z, which nothing before it provides \(there is views, features,",
    ),
    "loss misspells signals": (
        {"loss": lambda projections, feature: projections.mean()},
        "needs feature, which nothing.*nearest: features, feature_maps",
    ),
    "loss is a dict": ({"loss": {}}, "loss: expected a name, a function of signals"),
    "loss has no signature": ({"loss": getattr}, "can't be read; wrap it in a function"),
    "transform returns a pair": (
        {"augmentation": lambda image: (image, image)},
        "returned tuple, expected one view.*the setting `views`",
    ),
    "transform returns uint8": (
        {"augmentation": v2.ToDtype(torch.uint8, scale=True)},
        r"returned torch.uint8 .*v2.ToDtype\(torch.float32, scale=True\) makes floats",
    ),
    "transform is a class": ({"augmentation": v2.RandomCrop}, "is a class; give an instance"),
    "transform fails": (
        {"augmentation": lambda image: image[7:, 0] / 0 @ 1},
        "augmentation lambda",
    ),
    "data is a generator": ({"data": (item for item in ())}, "can only be iterated over"),
    "data is iterable": ({"data": Stream()}, "Stream can only be iterated over"),
    "data is a loader": ({"data": torch.utils.data.DataLoader([1])}, "give its data set"),
    "data is an int": ({"data": 3}, "data: expected a name, a path, a map-style data set"),
    "data is empty": ({"data": []}, "data builtins.list: it has no items"),
    "floats beyond the others": (
        {"data": [*torch.rand(2, 3, 8, 8), torch.full((3, 8, 8), 7.0), *torch.rand(39, 3, 8, 8)]},
        r"item 2 has floats from 7 to 7, and those of other items are in \[0, 1\]",
    ),
    "one value": (
        {"data": torch.full((4, 3, 8, 8), 200.0)},
        r"nearly all values are 200.*data.range=\[low,high\] states it",
    ),
    "channels last": (
        {"data": torch.zeros(9, 32, 32, 3)},
        r"give it as \(N, C, H, W\): images.mov",
    ),
    "axes in doubt": ({"data": np.zeros((9, 8, 8, 8))}, r"may be \(N, H, W, C\) or \(N, C, H, W\)"),
    "one image": ({"data": np.zeros((32, 32, 3))}, r"shape \(32, 32, 3\) is one image"),
    "five axes": (
        {"data": np.zeros((2, 3, 4, 5, 6))},
        r"has the shape \(2, 3, 4, 5, 6\), expected",
    ),
    "no images": ({"data": np.zeros((0, 8, 8))}, "it has no images"),
    "text": ({"data": np.full((4, 8, 8), "a")}, "the array holds <U1, expected integers or floats"),
    "truth values": ({"data": torch.ones(4, 3, 8, 8) > 0}, "torch.bool, expected integers"),
    "too few labels": (
        {"data": (np.zeros((4, 8, 8)), [0, 1, 2])},
        r"4 images but labels of shape \(3,\)",
    ),
    "labels of floats": (
        {"data": (np.zeros((4, 8, 8)), np.ones(4))},
        "labels must be int64 of shape .* got torch.float64",
    ),
    "negative labels": (
        {"data": (np.zeros((4, 8, 8)), [0, 1, -2, 1])},
        "label 2 is -2; classes count from 0",
    ),
    "beyond 32 bits": ({"data": np.full((4, 8, 8), 2**40)}, "beyond what 32 bits hold"),
    "labels are text": (
        {"data": [(torch.zeros(3, 8, 8), "cat")]},
        "item 0 has the label 'cat', expected an integer",
    ),
    "labels are missing": (
        {"data": [(torch.zeros(3, 8, 8), 0), torch.zeros(3, 8, 8)]},
        "item 1 has no label",
    ),
    "items are dicts": (
        {"data": [{"image": 1}]},
        "item 0 is builtins.dict, expected a PIL image, an",
    ),
    "one item": ({"data": [(torch.zeros(3, 8, 8), 0)]}, "at least 2 are needed"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_object_is_answered_in_one_line(bad, train, tmp_path):
    changed, said = BAD[bad]
    with pytest.raises(UsageError, match=said) as refused:
        train(tmp_path / "run", **changed)
    assert len(str(refused.value).splitlines()) == 1, refused.value
    assert not (tmp_path / "run").exists()


def test_parts_without_a_method_must_be_complete(train, tmp_path):
    with pytest.raises(UsageError, match="no method is given"):
        train(tmp_path / "run", loss=None)
