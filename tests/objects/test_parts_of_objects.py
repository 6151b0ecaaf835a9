"""What each kind of object may be, and what the engine makes of it."""

from __future__ import annotations

import functools
from typing import Annotated

import pytest
import torch
from annotated_types import Gt
from torch import Tensor, nn
from torchvision.transforms import v2

import sslcore
from sslcore.contract.interface import interface_of
from sslcore.data import Data, Split
from sslcore.objects.dataset import data_source
from sslcore.objects.losses import asks_for_labels, loss_part
from sslcore.objects.modules import Source, encoder_part, head_part
from sslcore.objects.names import qualified_name, short_name
from sslcore.objects.views import augmentation_part
from sslcore.random import BatchRandom
from sslcore.signals import Features, Logits, Views


class Described(nn.Module):
    """An encoder that follows the contract.

    Args:
        width: of the features.
    """

    def __init__(self, channels: int, *, width: Annotated[int, Gt(0)] = 4):
        super().__init__()
        self.layer = nn.Linear(channels, width)

    def forward(self, views: Tensor) -> Features:
        return {"features": self.layer(views.mean((-2, -1)))}


# --- encoders and heads


def test_a_tensor_of_any_name_becomes_features():
    part = encoder_part(Source("encoder", nn.Sequential(nn.Flatten(), nn.Linear(12, 5))))
    assert interface_of(part).needs == {"views": True}
    made = part()(torch.rand(6, 3, 2, 2))
    assert made["features"].shape == (6, 5)
    assert "feature_maps" not in made


def test_features_of_maps_are_their_means():
    part = encoder_part(Source("encoder", nn.Conv2d(3, 5, 1)))
    made = part()(torch.rand(6, 3, 4, 4))
    torch.testing.assert_close(made["features"], made["feature_maps"].mean((2, 3)))


def test_a_class_of_the_contract_keeps_its_settings_and_what_the_engine_supplies():
    interface = interface_of(encoder_part(Source("encoder", Described)))
    assert interface.supplied == {"channels": True}
    assert interface.settings["width"].default == 4
    assert interface.settings["width"].help == "of the features."
    assert interface.needs == {"views": True}
    assert interface.provides == {"features": True}


def test_what_other_code_calls_num_classes_is_not_that_of_the_engine():
    class Other(nn.Linear):
        def __init__(
            self, width: int = 3, num_classes: int = 1000, *, activation=nn.ReLU, name="x"
        ):
            super().__init__(width, num_classes)

    interface = interface_of(encoder_part(Source("encoder", Other)))
    assert list(interface.settings) == ["width"]
    assert interface.supplied == {}
    bound = functools.partial(Described, 3, width=2)
    interface = interface_of(encoder_part(Source("encoder", bound)))
    assert (interface.settings, interface.supplied) == ({}, {})
    assert interface.provides == {"features": True}


def test_a_function_of_torchvision_makes_an_encoder(train, tmp_path):
    import torchvision

    make = torchvision.models.squeezenet1_1
    run = train(tmp_path / "run", encoder=make, head=None, augmentation=v2.Resize(32))
    assert run.config()["encoder"]["name"] == "(object):squeezenet1-1"
    assert run.config()["encoder"]["weights"] == "none"


def test_settings_of_a_class_are_set_and_recorded(train, tmp_path):
    more = {"encoder": {"width": 6}}
    run = train(tmp_path / "run", encoder=Described, head=None, settings=more)
    assert run.config()["encoder"]["width"] == 6
    with pytest.raises(sslcore.SslcoreError, match=r"encoder.width: expected an integer > 0"):
        train(tmp_path / "bad", encoder=Described, settings={"encoder": {"width": 0}})


def test_a_head_sees_one_batch_of_all_views():
    seen = []

    class Head(nn.Module):
        def forward(self, x):
            seen.append(x.shape)
            return x[:, :2]

    made = head_part(Source("head", Head))()(torch.rand(2, 3, 8))
    assert seen == [(6, 8)]
    assert made["projections"].shape == (2, 3, 2)


def test_an_instance_is_copied_for_each_part():
    module = nn.Linear(2, 2)
    part = head_part(Source("head", module))
    first, second = part(), part()
    assert first.module is not second.module
    assert first.module is not module
    assert torch.equal(first.module.weight, module.weight)


# --- augmentations


def views_of(transform, images, *, seed=0, step=0, training=True, rows=None, **settings):
    part = augmentation_part(transform)(images.shape[-1], images.shape[1], **settings)
    random = BatchRandom(seed, step, 8, rows=rows) if training else None
    return part.train(training)(images, random=random)["views"]


def noisy(image):
    return image + torch.rand(())


def test_views_depend_on_seed_step_and_position_alone():
    images = torch.rand(8, 3, 6, 6)
    views = views_of(noisy, images, views=3)
    torch.manual_seed(99)
    assert torch.equal(views, views_of(noisy, images, views=3))
    assert not torch.equal(views, views_of(noisy, images, views=3, step=1))
    half = views_of(noisy, images[4:], views=3, rows=slice(4, 8))
    assert torch.equal(half, views[:, 4:])
    shifts = (views - images).mean((2, 3, 4))
    assert len(shifts.unique()) == 24


def test_evaluators_see_the_image_resized_and_normalised_as_at_the_end_of_the_transform():
    images = torch.rand(2, 3, 8, 8)
    transform = v2.Compose(
        [v2.RandomCrop(4), v2.Compose([v2.Normalize([0.5] * 3, [0.2] * 3), v2.ToPureTensor()])]
    )
    whole = views_of(transform, images, training=False)
    small = nn.functional.interpolate(images, (4, 4), mode="bilinear", antialias=True)
    torch.testing.assert_close(whole, ((small - 0.5) / 0.2)[None])
    assert torch.equal(views_of(noisy, images, training=False), images[None])


def test_views_of_different_sizes_are_refused():
    sizes = iter((4, 4, 5))
    images = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"different sizes: \(4, 4\) and \(5, 5\); end it"):
        views_of(lambda image: image[:, : (side := next(sizes)), :side], images)


def test_a_module_that_returns_views_is_used_as_it_is():
    class Flipped(nn.Module):
        def forward(self, images: Tensor) -> Views:
            return {"views": torch.stack((images, images.flip(-1)))}

    part = augmentation_part(Flipped())
    assert interface_of(part).needs == {"images": True}
    assert part()(images=torch.rand(2, 3, 4, 4))["views"].shape == (2, 2, 3, 4, 4)


# --- losses


def test_parameters_of_a_function_are_signals_and_defaults_are_optional():
    def loss(projections, labels, targets=None, *, temperature=0.5):
        return projections.mean() * temperature

    part = loss_part(loss)
    assert interface_of(part).needs == {
        "projections": True,
        "labels": True,
        "targets": False,
        "temperature": False,
    }
    assert asks_for_labels(part)
    score = part()(projections=torch.ones(2, 2, 2), labels=torch.zeros(2))
    assert score == 0.5


@pytest.mark.parametrize("given", [lambda z1, z2: (z1 - z2).mean(), lambda a, b, /: (a - b).mean()])
def test_two_tensors_are_the_projections_of_two_views(given):
    part = loss_part(given)
    projections = torch.stack((torch.ones(3, 2), torch.zeros(3, 2)))
    assert part()(projections=projections) == 1
    assert part()(features=projections) == 1
    with pytest.raises(ValueError, match="compares two views, and there are 3"):
        part()(projections=torch.ones(3, 3, 2))


def test_numbered_names_are_two_views_unless_they_could_mean_another_signal():
    views = loss_part(lambda view_1, view_2: (view_1 - view_2).mean())
    assert interface_of(views).needs == {"projections": False, "features": False}
    unclear = loss_part(lambda features1, features2: (features1 - features2).mean())
    assert interface_of(unclear).needs == {"features1": True, "features2": True}


def test_a_module_and_a_partial_function_are_losses():
    def loss(z1, z2, power):
        return (z1 - z2).abs().pow(power).mean()

    projections = torch.stack((torch.full((3, 2), 2.0), torch.zeros(3, 2)))
    assert loss_part(functools.partial(loss, power=2))()(projections=projections) == 4
    assert loss_part(nn.L1Loss)().module is not None

    class Distance(nn.Module):
        def forward(self, one, two):
            return (one - two).mean()

    assert loss_part(Distance())()(projections=projections) == 2


def test_a_supervised_function_trains_on_labels(train, tmp_path):
    class Classifier(nn.Module):
        def __init__(self, feature_dim: int, num_classes: int):
            super().__init__()
            self.layer = nn.Linear(feature_dim, num_classes)

        def forward(self, features: Tensor) -> Logits:
            return {"logits": self.layer(features)}

    def cross_entropy(logits, labels):
        return nn.functional.cross_entropy(logits[0], labels)

    run = train(tmp_path / "run", head=Classifier, loss=cross_entropy)
    assert run.class_names() == ("dark", "light")


def test_the_loss_of_a_method_is_replaced_by_a_function(train, tmp_path):
    run = train(tmp_path / "run", method="simclr", augmentation=None, encoder="resnet18", head=None)
    assert run.config()["method"] == "simclr"
    assert run.config()["loss"]["name"] == "(object):agreement"
    assert "init" not in run.config()


# --- data


def images(count=10, channels=3):
    return torch.randint(0, 256, (count, channels, 4, 4), dtype=torch.uint8)


def test_pil_uint8_and_float_images_are_read_as_the_same_bytes():
    given = images()
    floats = data_source(given / 255)(test_fraction=0.2)
    pictures = [v2.functional.to_pil_image(image) for image in given]
    for source in (given, pictures, list(given)):
        read = data_source(source)(test_fraction=0.2)
        assert torch.equal(read.train.images, floats.train.images)
        assert read.train.labels is None
    assert sorted(map(int, torch.cat((floats.train.images, floats.test.images)).flatten())) == (
        sorted(map(int, given.flatten()))
    )


@pytest.mark.parametrize("form", [torch.Tensor.clone, list], ids=["tensor", "list"])
def test_floats_finer_than_bytes_stay_floats(form):
    given = torch.rand(8, 3, 4, 4)
    data = data_source(form(given))(test_fraction=0.5)
    assert data.train.range == (0.0, 1.0)
    kept = torch.cat((data.train.images, data.test.images))
    assert sorted(kept.flatten().tolist()) == sorted(given.flatten().tolist())


def test_a_fixed_share_of_each_class_is_held_out():
    labels = torch.tensor([0] * 20 + [1] * 10)
    source = torch.utils.data.TensorDataset(images(30), labels)
    data = data_source(source)(test_fraction=0.2)
    assert data.test.labels.bincount().tolist() == [4, 2]
    again = data_source(source)(test_fraction=0.2)
    assert torch.equal(data.test.images, again.test.images)
    assert data.classes == ("0", "1")


def test_class_names_are_those_of_the_data_set_within_a_subset():
    class Named(torch.utils.data.TensorDataset):
        classes = ("cat", "dog", "owl")

    whole = Named(images(), torch.arange(10) % 2)
    data = data_source(torch.utils.data.Subset(whole, range(8)))(test_fraction=0.5)
    assert data.classes == ("cat", "dog", "owl")
    assert len(data.train) + len(data.test) == 8


def test_a_pair_is_train_and_test_and_data_stays_as_it_is():
    first, second = Split(images(6), torch.zeros(6).long()), [(image, 1) for image in images(3)]
    data = data_source((first, second))()
    assert (len(data.train), len(data.test)) == (6, 3)
    assert data.train.images is first.images
    whole = Data(first, Split(images(2)))
    assert data_source(whole)() is whole


def test_the_names_of_a_split_go_with_its_images():
    given = images()
    split = Split(given, names=[str(int(image.sum())) for image in given])
    data = data_source(split)(test_fraction=0.3)
    for part in (data.train, data.test):
        assert [part.name_of(row) for row in range(len(part))] == [
            str(int(image.sum())) for image in part.images
        ]


def test_labels_of_minus_one_are_none():
    source = [(image, -1) for image in images()]
    assert data_source(source)(test_fraction=0.2).labelled is False


def test_a_random_transform_within_a_data_set_is_read_alike_each_time():
    class Random(torch.utils.data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, row):
            return torch.rand(3, 4, 4)

    first = data_source(Random())(test_fraction=0.5)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    second = data_source(Random())(test_fraction=0.5)
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(torch.get_rng_state(), state)


# --- names


@pytest.mark.parametrize(
    ("given", "short"),
    [
        (nn.Linear(1, 1), "linear"),
        (Described, "described"),
        (v2.RandomHorizontalFlip(), "random-horizontal-flip"),
        (functools.partial(noisy), "noisy"),
        (lambda: 0, "lambda"),
        (nn.functional.mse_loss, "mse-loss"),
    ],
)
def test_names_are_those_of_classes_and_functions(given, short):
    assert short_name(given) == short
    assert qualified_name(given).replace("<", "").replace(">", "").isprintable()
