"""The parameters that the engine supplies to optimizers and schedules, and the roles of weights."""

from __future__ import annotations

from dataclasses import replace

from sslcore.contract.interface import Interface
from sslcore.contract.stages import STAGES

#: By kind, the parameters that are no settings, with what the engine supplies for them; the other
#: switches of torch's optimizers keep their defaults.
SUPPLIED_TO = {
    "optimizer": {
        "params": "the groups of parameters",
        "fused": "whether all weights move in one pass",
        "foreach": "a switch of torch",
        "maximize": "a switch of torch",
        "capturable": "a switch of torch",
        "differentiable": "a switch of torch",
    },
    "schedule": {
        "done": "the part of the steps after the warm-up that is done, in [0, 1]",
        "step": "steps done, an integer",
        "total_steps": "steps of the run",
        "steps_per_epoch": "steps of an epoch",
    },
}

#: The optional attribute of a part's class that names roles of its parameters: from the beginning
#: of their names within the part to a role, `{"predictor": "predictor"}`.
PARAMETER_ROLES = "parameter_roles"

#: The roles by what a parameter is: a parameter of a normalisation layer, a bias, any other.
WEIGHT, BIAS, NORM = "weight", "bias", "norm"

#: The roles that parameters of any recipe may have.
COMMON_ROLES = (*STAGES, WEIGHT, BIAS, NORM)


def own_interface(kind: str, interface: Interface) -> Interface:
    """Return an interface whose settings are only those that a user may set."""
    supplied = SUPPLIED_TO.get(kind, {})
    if not supplied:
        return interface
    settings = {name: item for name, item in interface.settings.items() if name not in supplied}
    return replace(interface, settings=settings)
