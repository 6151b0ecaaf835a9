"""The conformance kit: tests that every loss and every other part must pass.

    from sslcore.testing import LossSpec, conformance

    @conformance(LossSpec(make=lambda temperature=0.5: NTXent(temperature=temperature),
                          family="nt-xent"))
    def test_nt_xent(case):
        case.run()

It needs the extra `sslcore[test]` (Hypothesis and pytest).
"""

from __future__ import annotations

try:
    import hypothesis as _hypothesis
except ImportError as error:
    raise ImportError("sslcore.testing needs Hypothesis: pip install 'sslcore[test]'") from error

from sslcore.testing.conformance import SUITES, Case, cases, check, conformance
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.family import (
    Family,
    HyperRange,
    Mutant,
    families,
    register_family,
)
from sslcore.testing.losses.spec import LossSpec
from sslcore.testing.parts import (
    AugmentationSpec,
    DatasetSpec,
    EncoderSpec,
    EvaluatorSpec,
    HeadSpec,
    MethodSpec,
    OptimizerSpec,
    ScheduleSpec,
    TrackerSpec,
    example_images,
    scene,
    settings_strategy,
    specs_of,
)
from sslcore.testing.property import Property, declare
from sslcore.testing.report import MutationScore, Report, Row
from sslcore.testing.violation import Violation

__all__ = [
    "SUITES",
    "AugmentationSpec",
    "Case",
    "DatasetSpec",
    "EncoderSpec",
    "EvaluatorSpec",
    "Example",
    "Family",
    "HeadSpec",
    "HyperRange",
    "LossSpec",
    "MethodSpec",
    "Mutant",
    "MutationScore",
    "OptimizerSpec",
    "Property",
    "Report",
    "Row",
    "ScheduleSpec",
    "TrackerSpec",
    "Violation",
    "cases",
    "check",
    "conformance",
    "declare",
    "example_images",
    "families",
    "register_family",
    "scene",
    "settings_strategy",
    "specs_of",
]
del _hypothesis
