"""The layers of an encoder, each with a learning rate of its own."""

from __future__ import annotations

from torch import nn

from sslcore.pipeline.pipeline import Pipeline


def rate_groups(pipeline: Pipeline, decay: float) -> list[tuple[list[nn.Parameter], float]]:
    """Return the trainable parameters in groups, each with the factor of its learning rate.

    Head and loss come first and have the factor 1. Of L layers of the encoder, layer l, counted
    from 1 at the input, has the factor decay^(L + 1 - l) (Clark et al. 2020, section 3.5).

    Args:
        pipeline: the stages.
        decay: in (0, 1]; 1 makes one group.
    """
    trainable = pipeline.trainable()
    if decay == 1:
        return [(trainable, 1.0)]
    layers = layers_of(pipeline.encoder)
    own = {id(weight) for layer in layers for weight in layer}
    rest = [weight for weight in trainable if id(weight) not in own]
    count = len(layers)
    groups = [(rest, 1.0)]
    groups += [(layer, decay ** (count - position)) for position, layer in enumerate(layers)]
    return [(weights, factor) for weights, factor in groups if weights]


def layers_of(encoder: nn.Module) -> list[list[nn.Parameter]]:
    """Return the trainable parameters of an encoder by layer, from the input to the features.

    A layer is a child of the network, or a block of a child whose blocks are numbered. A
    normalisation belongs to the layer before it, and parameters of the network itself, such as a
    class token, to the first layer.
    """
    found: dict[str, list[nn.Parameter]] = {}
    prefix = _common_prefix([name for name, _ in encoder.named_parameters()])
    for name, weight in encoder.named_parameters():
        if weight.requires_grad:
            found.setdefault(_layer(name[len(prefix) :]), []).append(weight)
    first = found.pop("", [])
    layers: list[list[nn.Parameter]] = []
    for weights in found.values():
        if layers and all(weight.dim() < 2 for weight in weights):
            layers[-1] += weights
        else:
            layers.append(weights)
    if first:
        layers[:1] = [first + (layers[0] if layers else [])]
    return layers


def _layer(name: str) -> str:
    first, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    if not rest:
        return ""
    return f"{first}.{number}" if number.isdecimal() else first


def _common_prefix(names: list[str]) -> str:
    """Return what all names begin with, up to a dot: the module that wraps a network."""
    prefix = ""
    while True:
        heads = {name[len(prefix) :].partition(".")[0] for name in names}
        longer = f"{prefix}{min(heads, default='')}."
        # A network whose blocks are numbered is no wrapper.
        numbered = {name[len(longer) :].partition(".")[0].isdecimal() for name in names}
        if len(heads) != 1 or numbered != {False} or not all(n.startswith(longer) for n in names):
            return prefix
        prefix = longer
