"""The model of another library that has the same architecture as an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

#: The optional method of an encoder that returns its counterpart in a library.
COUNTERPART = "counterpart"


@dataclass(frozen=True, kw_only=True)
class Counterpart:
    """A model of another library, with the weights of an encoder by the library's names.

    An encoder may have the method `counterpart(library: str) -> Counterpart`, where `library` is
    "torchvision" or "timm"; it raises ValueError where that library has no such model, and the
    message says why.

    Attributes:
        model: the library's name of the model: "resnet18".
        weights: all weights and buffers of the model, but for its classifier.
        classifier: the name of its classifier, a linear layer on the features: "fc".
        arguments: further arguments with which the library builds it: {"in_chans": 1}.
    """

    model: str
    weights: Mapping[str, Tensor]
    classifier: str
    arguments: Mapping[str, object] = field(default_factory=dict)
