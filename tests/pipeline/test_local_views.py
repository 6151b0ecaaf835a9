"""Views of two sizes: the encoder gets both, a teacher the large ones only."""

from __future__ import annotations

from typing import Annotated

import pytest
import torch
from annotated_types import Ge
from torch import Tensor, nn

from sslcore import transforms
from sslcore.api import make_recipe
from sslcore.errors import CompositionError
from sslcore.evaluation.evaluate import FeatureExtractor
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.pipeline.pipeline import encode
from sslcore.signals import ViewsOfTwoSizes


class Crops(nn.Module):
    """Two views, and a number of views of half the side."""

    def __init__(self, image_size: int, *, local: Annotated[int, Ge(0)] = 3) -> None:
        super().__init__()
        self.size, self.local = image_size // 2, local

    def forward(self, images: Tensor) -> ViewsOfTwoSizes:
        made: ViewsOfTwoSizes = {"views": torch.stack((images, images.flip(-1)))}
        if self.training and self.local:
            small = transforms.resize(images, self.size)
            made["local_views"] = torch.stack([small * (i + 1) for i in range(self.local)])
        return made


class Ragged(Crops):
    def forward(self, images: Tensor) -> ViewsOfTwoSizes:
        views = torch.stack((images, images))
        return {"views": views, "local_views": images}


class Seen(nn.Module):
    """Keeps its inputs."""

    seen: dict[str, tuple[int, ...]]

    def __init__(self, num_views: int) -> None:
        super().__init__()
        self.num_views = num_views

    def forward(
        self, features: Tensor, feature_maps: Tensor, teacher_projections: Tensor | None = None
    ) -> Tensor:
        self.seen = {
            "features": tuple(features.shape),
            "feature_maps": tuple(feature_maps.shape),
            "teacher_projections": tuple(getattr(teacher_projections, "shape", ())),
        }
        return features.square().mean()


@pytest.fixture
def built(registry, add):
    add(registry, "augmentation", Crops, name="crops")
    add(registry, "augmentation", Ragged, name="ragged")
    add(registry, "loss", Seen, name="seen")

    def build(**chosen):
        parts = {"augmentation": "crops", "loss": "seen", **chosen}
        recipe, _ = make_recipe("simclr", registry=registry, **parts)
        return build_pipeline(recipe, ImageShape(16, 1))

    return build


def test_features_are_those_of_the_views_and_then_those_of_the_local_views(built):
    pipeline = built().eval()
    pipeline.augmentation.train()
    images = torch.rand(5, 1, 16, 16)
    signals = pipeline(images)
    assert signals["features"].shape == (5, 5, 128)
    assert pipeline.loss.num_views == 5
    small = transforms.resize(images, 8)
    expected = [images, images.flip(-1), small, small * 2, small * 3]
    for view, found in zip(expected, signals["features"], strict=True):
        torch.testing.assert_close(found, pipeline.encoder(view)["features"])
    torch.testing.assert_close(
        signals["projections"], pipeline.head(signals["features"])["projections"]
    )


def test_all_but_features_are_of_the_large_views(built):
    pipeline = built()
    pipeline(torch.rand(5, 1, 16, 16))
    assert pipeline.loss.seen["feature_maps"][:2] == (2, 5)


def test_a_teacher_sees_the_large_views_only(built):
    pipeline = built(settings={"teacher": {"momentum": 0.9}})
    signals = pipeline(torch.rand(5, 1, 16, 16))
    assert signals["teacher_projections"].shape == (2, 5, 128)
    assert pipeline.loss.seen["teacher_projections"] == (2, 5, 128)


def test_building_with_a_teacher_leaves_its_batch_statistics_as_they_were(built):
    pipeline = built(settings={"teacher": {"momentum": 0.9}})
    for name, buffer in pipeline.teacher.named_buffers():
        fresh = (
            torch.ones_like(buffer) if name.endswith("running_var") else torch.zeros_like(buffer)
        )
        assert torch.equal(buffer, fresh), name


def test_evaluators_see_no_local_views(built):
    pipeline = built()
    features = FeatureExtractor(pipeline.augmentation, pipeline.encoder)(torch.rand(5, 1, 16, 16))
    assert features.shape == (5, 128)


def test_an_encoder_whose_features_keep_positions_is_refused_with_both_lengths(built):
    with pytest.raises(CompositionError, match=r"16 px have length .* 8 px .*averages over"):
        built(encoder="cnn4", settings={"encoder": {"widths": (4, 4)}})


def test_local_views_of_another_batch_are_refused(built):
    with pytest.raises(CompositionError, match="local_views must be"):
        built(augmentation="ragged")


def test_an_encoder_that_asks_for_what_belongs_to_views_gets_it_for_them_alone():
    class Masked(nn.Module):
        def forward(self, views: Tensor, mask: Tensor | None = None) -> dict:
            hidden = torch.zeros(len(views)) if mask is None else mask.float().sum(1)
            return {"features": hidden[:, None]}

    signals = {
        "views": torch.zeros(2, 3, 1, 8, 8),
        "local_views": torch.zeros(1, 3, 1, 4, 4),
        "mask": torch.ones(2, 3, 4, dtype=torch.bool),
    }
    assert encode(Masked(), signals)["features"][..., 0].tolist() == [[4.0] * 3, [4.0] * 3, [0] * 3]
