"""The conformance of parts other than losses: augmentations, encoders, heads and the rest.

from sslcore.testing import EncoderSpec, conformance

@conformance(EncoderSpec(make=MyEncoder))
def test_my_encoder(case):
    case.run()
"""

from sslcore.testing.parts.entries import specs_of
from sslcore.testing.parts.pictures import example_images
from sslcore.testing.parts.scenes import Scene, scene
from sslcore.testing.parts.settings import settings_at_bounds, settings_strategy
from sslcore.testing.parts.spec import (
    AugmentationSpec,
    DatasetSpec,
    EncoderSpec,
    EvaluatorSpec,
    HeadSpec,
    MethodSpec,
    OptimizerSpec,
    ScheduleSpec,
    TrackerSpec,
)

__all__ = [
    "AugmentationSpec",
    "DatasetSpec",
    "EncoderSpec",
    "EvaluatorSpec",
    "HeadSpec",
    "MethodSpec",
    "OptimizerSpec",
    "Scene",
    "ScheduleSpec",
    "TrackerSpec",
    "example_images",
    "scene",
    "settings_at_bounds",
    "settings_strategy",
    "specs_of",
]
