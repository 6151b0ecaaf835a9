"""The MLP probe: a small multilayer perceptron on frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from sslcore.random import generator_for
from sslcore_probes.checks import check_probe
from sslcore_probes.scaling import accuracy, standardize


class MlpProbe:
    """Accuracy of a multilayer perceptron, with ReLU and dropout, on frozen, standardised features.

    Its random numbers depend on the seed only, and the global generators do not change.

    Args:
        widths: units in each hidden layer.
        dropout: probability of dropping a hidden unit in training, in [0, 1).
        epochs: passes over the training images.
        lr: learning rate of Adam (Kingma and Ba 2015).
        batch_size: images in a step.
        weight_decay: L2 penalty that Adam adds to the gradient.
    """

    def __init__(
        self,
        *,
        widths: tuple[Annotated[int, Ge(1)], ...] = (512, 256),
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.2,
        epochs: Annotated[int, Ge(1)] = 30,
        lr: Annotated[float, Gt(0)] = 1e-3,
        batch_size: Annotated[int, Ge(1)] = 128,
        weight_decay: Annotated[float, Ge(0)] = 1e-4,
    ) -> None:
        self.widths, self.dropout = tuple(widths), dropout
        self.epochs, self.lr = epochs, lr
        self.batch_size, self.weight_decay = batch_size, weight_decay

    def __call__(
        self,
        train_features: Tensor,
        train_labels: Tensor,
        test_features: Tensor,
        test_labels: Tensor,
        seed: int,
    ) -> dict[str, float]:
        """Return `mlp_top1`, in [0, 1].

        Args:
            train_features: (N, F).
            train_labels: (N,).
            test_features: (M, F).
            test_labels: (M,).
            seed: seed of the initial weights, the order of the images and the dropout.

        Raises:
            ValueError: there are no samples or one class, lengths differ, or a feature is not
                finite.
        """
        check_probe(train_features, train_labels, test_features, test_labels)
        # The probe needs gradients even if the caller has switched them off.
        with torch.inference_mode(False), torch.enable_grad():
            train, test = standardize(train_features.detach(), test_features.detach())
            classes, targets = train_labels.unique(return_inverse=True)
            layers = self._train(train, targets, len(classes), seed)
        with torch.no_grad():
            predicted = [classes[_logits(rows, layers).argmax(1)] for rows in test.split(4096)]
        return {"mlp_top1": accuracy(torch.cat(predicted), test_labels)}

    def _train(
        self, features: Tensor, targets: Tensor, num_classes: int, seed: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Return the trained layers: weight (out, in) and bias (out,) each."""
        generator = generator_for(seed, "mlp-probe")
        layers = _initial(
            [features.shape[1], *self.widths, num_classes], generator, features.device
        )
        parameters = [parameter.requires_grad_() for layer in layers for parameter in layer]
        optimizer = torch.optim.Adam(parameters, lr=self.lr, weight_decay=self.weight_decay)
        for _ in range(self.epochs):
            order = torch.randperm(len(features), generator=generator).to(features.device)
            for rows in order.split(self.batch_size):
                scales = [
                    _dropout(len(rows), width, self.dropout, generator).to(features)
                    for width in self.widths
                ]
                loss = F.cross_entropy(_logits(features[rows], layers, scales), targets[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return layers


def _initial(
    widths: Sequence[int], generator: torch.Generator, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """Return layers from each width to the next, initialised as in He et al. 2015, equation 10."""
    return [
        (
            (torch.randn(after, before, generator=generator) * (2 / before) ** 0.5).to(device),
            torch.zeros(after, device=device),
        )
        for before, after in pairwise(widths)
    ]


def _dropout(count: int, width: int, chance: float, generator: torch.Generator) -> Tensor:
    """Return the factor of each unit (count, width): 0 with the given probability, 1 on average."""
    return (torch.rand(count, width, generator=generator) >= chance) / (1 - chance)


def _logits(
    features: Tensor, layers: Sequence[tuple[Tensor, Tensor]], scales: Sequence[Tensor] = ()
) -> Tensor:
    """Return the logits (B, K) of features (B, F).

    Args:
        features: (B, F).
        layers: weight and bias of each.
        scales: dropout's factors for the units of each hidden layer, (B, width). Without them,
            nothing is dropped.
    """
    *hidden, (weight, bias) = layers
    for index, layer in enumerate(hidden):
        features = F.linear(features, *layer).relu()
        if scales:
            features = features * scales[index]
    return F.linear(features, weight, bias)
