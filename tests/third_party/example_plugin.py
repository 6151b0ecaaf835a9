"""A plugin made of the examples in `sslcore.contract.hooks`, so that these stay runnable."""

import inspect
import sys
import textwrap
import types

import sslcore
from sslcore.contract import hooks as hookspecs

_PREAMBLE = """
from typing import Annotated
import torch
from annotated_types import Gt
from torch import Tensor, nn
import sslcore
from sslcore import Data, Split
from sslcore.signals import Features, Projections, Views
"""


def _run(hook):
    text = inspect.getdoc(getattr(hookspecs, hook)).partition("Example:")[2]
    source = _PREAMBLE + textwrap.dedent(text).replace("my_plugin.", "example_plugin_")
    namespace: dict = {}
    exec(compile(source, hook, "exec"), namespace)
    return namespace


for _hook in [name for name in vars(hookspecs) if name.startswith("sslcore_")]:
    _namespace = _run(_hook)
    globals()[_hook] = _namespace[_hook]
    for _record in _namespace[_hook]():
        if isinstance(_record, sslcore.contract.records.Component):
            _module, _, _attribute = _record.build.partition(":")
            _made = sys.modules.setdefault(_module, types.ModuleType(_module))
            setattr(_made, _attribute, _namespace[_attribute])
