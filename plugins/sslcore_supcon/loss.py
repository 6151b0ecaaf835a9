"""The supervised contrastive loss, with and without images whose class is not known."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn

from sslcore.contrastive import positions
from sslcore.functional import unit_rows, without_autocast


def supervised_contrast(
    projections: Tensor, labels: Tensor, temperature: float, *, rows: slice | None = None
) -> Tensor:
    """Return the supervised contrastive loss (Khosla et al. 2020, equation (2)).

    With the projections z of all V·N views scaled to unit length, s(i, k) = ⟨z_i, z_k⟩, and P(i)
    the other views of images of the class of view i,

        L = mean over i of −1/|P(i)| Σ_{p ∈ P(i)} log( exp(s(i, p)/τ) / Σ_{k ≠ i} exp(s(i, k)/τ) ).

    An image with the label −1 is a class of its own. It is computed in float32 or wider.

    Args:
        projections: float (V, N, D): V ≥ 2 views of N images. They need not be normalised.
        labels: (N,), integers: the classes of the images, −1 for no label.
        temperature: τ > 0.
        rows: the images over whose views i the mean goes, as positions in N, where several
            processes share a batch; None: all images.

    Returns:
        A scalar of the type of the projections.

    Raises:
        ValueError: the shapes or types are others, or `rows` are no positions in N.
    """
    _check(projections, labels)
    views, count = projections.shape[:2]
    unit = unit_rows(projections)
    here = positions(rows, count)
    image = torch.arange(count, device=projections.device)
    # Numbers below −1 are no class, so that each image without a label has a number of its own.
    classes = torch.where(labels < 0, -2 - image, labels)
    queries, own = unit[:, here].flatten(0, 1), classes[here].repeat(views)
    itself = (torch.arange(views, device=image.device)[:, None] * count + image[here]).flatten()
    with without_autocast(unit.device):
        logits = queries @ unit.flatten(0, 1).mT / temperature
    logits = logits.scatter(1, itself[:, None], -torch.inf)
    positive = (own[:, None] == classes.repeat(views)).scatter(1, itself[:, None], False)
    surprise = logits.logsumexp(1, keepdim=True) - logits
    losses = surprise.masked_fill(~positive, 0).sum(1) / positive.sum(1)
    return losses.mean().to(projections.dtype)


class SupervisedContrast(nn.Module):
    """Identify all views of all images of a class among the views of the batch.

    Khosla et al. 2020, equation (2); see `supervised_contrast`. The authors' code also multiplies
    the loss by τ / 0.07, which a rate of the optimizer can take up.

    Args:
        num_views: views per image, at least 2.
        temperature: τ, the divisor of cosine similarities, > 0.

    Raises:
        ValueError: there is one view, or (when called) the projections are not float (V, N, D) or
            the labels not integers (N,).
    """

    def __init__(self, num_views: int = 2, *, temperature: Annotated[float, Gt(0)] = 0.1) -> None:
        super().__init__()
        if num_views < 2:
            raise ValueError(
                "an image that is alone in its class is compared with its other views, and the "
                f"augmentation makes {num_views} view; use one that makes 2 or more"
            )
        self.temperature = temperature

    def forward(self, projections: Tensor, labels: Tensor, rows: slice | None = None) -> Tensor:
        """Return the loss of `projections` (V, N, D) and `labels` (N,), a scalar.

        Given `rows`, it is the mean over the views of these images only, each compared with all.
        """
        return supervised_contrast(projections, labels, self.temperature, rows=rows)


class SemiSupervisedContrast(SupervisedContrast):
    """Identify all views of all images of a class; an image without a label is its own class.

    The supervised loss for images with a label, and that of SimCLR for the others (Khosla et
    al. 2020, equations (1) and (2)); see `supervised_contrast`. Unlabelled images of the batch are
    among the negatives of all.

    Args:
        num_views: views per image, at least 2.
        temperature: τ, the divisor of cosine similarities, > 0.

    Raises:
        ValueError: as those of `SupervisedContrast`.
    """

    def forward(
        self, projections: Tensor, labels: Tensor | None = None, rows: slice | None = None
    ) -> Tensor:
        """Return the loss of `projections` (V, N, D) and `labels` (N,), −1 for none, a scalar."""
        if labels is None:
            labels = projections.new_full((projections.shape[1],), -1, dtype=torch.int64)
        return super().forward(projections, labels, rows)


def _check(projections: Tensor, labels: Tensor) -> None:
    shape = tuple(projections.shape)
    if len(shape) != 3 or shape[0] < 2 or not all(shape) or not projections.is_floating_point():
        raise ValueError(
            "supervised contrast takes float projections of shape (V, N, D), 2 or more views of "
            f"each image, got {projections.dtype} of shape {shape}"
        )
    if labels.shape != shape[1:2] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"supervised contrast takes a label for each of {shape[1]} images, integers, got "
            f"{labels.dtype} of shape {tuple(labels.shape)}"
        )
