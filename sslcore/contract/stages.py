"""The stages of training, and the sections in which settings stand: one table for all rooms."""

from __future__ import annotations

#: The kinds of the training stages, in the order in which a tensor passes them.
STAGES = ("augmentation", "encoder", "head", "loss")

#: The section of labelled images that evaluators use in place of those of training.
EVAL_DATA = "eval_data"

#: The sections that name a data set.
DATA_SECTIONS = ("data", EVAL_DATA)

#: The sections of a request.
SECTIONS = (
    *DATA_SECTIONS,
    *STAGES,
    "evaluator",
    "optimizer",
    "schedule",
    "training",
    "teacher",
    "init",
)

#: The sections of a configuration file, in which each evaluator may have a table of its own.
FILE_SECTIONS = (*SECTIONS, "evaluators")

#: The sections that a method may set.
RECORD_SECTIONS = (*STAGES, "evaluator", "optimizer", "schedule", "training")

#: Those of them that hold settings of a part, whose name a data set must give with its defaults.
PART_SECTIONS = (*STAGES, "evaluator", "optimizer", "schedule")

#: The sections of a method's defaults.
METHOD_DEFAULTS = (*STAGES, "schedule", "training")


def section_of(kind: str) -> str:
    """Return the section with the settings of a kind of component."""
    return "data" if kind == "dataset" else kind


def kind_of(section: str) -> str:
    """Return the kind of component whose settings stand in a section."""
    return "dataset" if section in DATA_SECTIONS else section
