"""Losses outside all families, their formulas, and broken variants: for tests of the checks.

Each loss is what a third party would write: a module with the signals of the contract. Each formula
is its definition, written with loops where that is plainer.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore import BatchRandom
from sslcore.signals import Shape


def exact(item: Tensor) -> Tensor:
    """Return the item in float32 at least."""
    return item.float() if item.dtype in (torch.float16, torch.bfloat16) else item


def checked(*signals: Tensor, axis: int = 1) -> tuple[Tensor, ...]:
    """Return the signals in float32 at least; refuse no images, and unequal numbers of them."""
    counts = {item.shape[axis] for item in signals}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f"expected as many images in each signal, got {sorted(counts)}")
    return tuple(map(exact, signals))


def unit(rows: Tensor) -> Tensor:
    """Return rows of unit length; a row of zeros stays."""
    largest = rows.detach().abs().amax(-1, keepdim=True)
    return F.normalize(rows / largest.where(largest > 0, 1), dim=-1)


# SimSiam: a stop-gradient on one side.


class Siamese(nn.Module):
    """Negative cosine between predictions and the other view's projections, which are targets."""

    def forward(self, predictions: Tensor, projections: Tensor) -> Tensor:
        p, z = checked(predictions, projections)
        return self.score(p, z).to(predictions.dtype)

    def target(self, z: Tensor) -> Tensor:
        return z.detach()

    def score(self, p: Tensor, z: Tensor) -> Tensor:
        return -(unit(p) * unit(self.target(z)).flip(0)).sum(-1).mean()


def siamese(predictions: Tensor, projections: Tensor) -> Tensor:
    z = projections.detach()
    first = F.cosine_similarity(predictions[0], z[1], dim=-1)
    second = F.cosine_similarity(predictions[1], z[0], dim=-1)
    return -(first.mean() + second.mean()) / 2


def siamese_points() -> list[tuple[dict[str, Tensor], float]]:
    """Return equal directions, opposite ones, and right angles."""
    one, other = torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 1.0], [5.0, 0.0]])
    pair, turned = torch.stack([one, one]), torch.stack([other, other])
    return [
        ({"predictions": pair, "projections": pair}, -1.0),
        ({"predictions": pair, "projections": -2 * pair}, 1.0),
        ({"predictions": pair, "projections": turned}, 0.0),
    ]


class SiameseNoDetach(Siamese):
    def target(self, z: Tensor) -> Tensor:
        return z


class SiameseSum(Siamese):
    def score(self, p: Tensor, z: Tensor) -> Tensor:
        return super().score(p, z) * p.shape[1]


class SiameseSameView(Siamese):
    def target(self, z: Tensor) -> Tensor:
        return z.detach().flip(0)


class SiameseUnnormalised(Siamese):
    def score(self, p: Tensor, z: Tensor) -> Tensor:
        return -(p * self.target(z).flip(0)).sum(-1).mean()


class SiameseDroppedImage(Siamese):
    def score(self, p: Tensor, z: Tensor) -> Tensor:
        return super().score(p[:, 1:], z[:, 1:]) if p.shape[1] > 4 else super().score(p, z)


class SiameseBroadcasts(Siamese):
    def forward(self, predictions: Tensor, projections: Tensor) -> Tensor:
        return self.score(exact(predictions), exact(projections)).to(predictions.dtype)


class SiameseReturnsFloat32(Siamese):
    def forward(self, predictions: Tensor, projections: Tensor) -> Tensor:
        return super().forward(predictions, projections).float()


# Supervised contrast: labels, a temperature, and rows of a process.


class Supervised(nn.Module):
    """The supervised contrastive loss over all views; images of the same class are positives."""

    def __init__(self, *, temperature: Annotated[float, Gt(0)] = 0.2) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, projections: Tensor, labels: Tensor, rows: slice | None = None) -> Tensor:
        if projections.shape[1] != len(labels) or not len(labels):
            raise ValueError("expected a label for each image")
        z = self.normalised(self.precise(projections))
        views, count = z.shape[:2]
        every = z.reshape(views * count, -1)
        logits = self.logits(every @ every.T)
        self_mask = torch.eye(len(every), dtype=torch.bool)
        logits = logits.masked_fill(self_mask, -torch.inf)
        log_p = logits - self.bottom(logits)
        classes = self.classes(labels, views)
        positive = (classes[:, None] == classes) & ~self_mask
        each = -(log_p.masked_fill(~positive, 0).sum(1) / positive.sum(1))
        each = each.view(views, count)
        if rows is not None:
            each = self.of_rows(each, rows)
        return self.reduced(each).to(projections.dtype)

    def precise(self, projections: Tensor) -> Tensor:
        return exact(projections)

    def bottom(self, logits: Tensor) -> Tensor:
        return logits.logsumexp(1, keepdim=True)

    def normalised(self, z: Tensor) -> Tensor:
        return unit(z)

    def logits(self, similarities: Tensor) -> Tensor:
        return similarities / self.temperature

    def classes(self, labels: Tensor, views: int) -> Tensor:
        # An image without a label is in a class of its own.
        own = -1 - torch.arange(len(labels))
        return torch.where(labels < 0, own, labels).repeat(views)

    def of_rows(self, each: Tensor, rows: slice) -> Tensor:
        return each[:, rows]

    def reduced(self, each: Tensor) -> Tensor:
        return each.mean()


def supervised(projections: Tensor, labels: Tensor, temperature: float) -> Tensor:
    views, count = projections.shape[:2]
    z = F.normalize(projections.reshape(views * count, -1), dim=-1)
    of = [
        int(label) if label >= 0 else -1 - image for image, label in enumerate(labels.tolist())
    ] * views
    total = z.new_zeros(())
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        bottom = torch.stack([z[i] @ z[j] / temperature for j in others]).logsumexp(0)
        found = [z[i] @ z[j] / temperature - bottom for j in others if of[j] == of[i]]
        total = total - torch.stack(found).mean()
    return total / len(z)


class SupervisedWrongTemperature(Supervised):
    def logits(self, similarities: Tensor) -> Tensor:
        return similarities * self.temperature


class SupervisedFixedTemperature(Supervised):
    def logits(self, similarities: Tensor) -> Tensor:
        return similarities / 0.2


class SupervisedRowsIgnored(Supervised):
    def of_rows(self, each: Tensor, rows: slice) -> Tensor:
        return each[:, : rows.stop - rows.start]


class SupervisedUnlabelledAlike(Supervised):
    def classes(self, labels: Tensor, views: int) -> Tensor:
        return labels.repeat(views)


class SupervisedInterleaved(Supervised):
    def classes(self, labels: Tensor, views: int) -> Tensor:
        return super().classes(labels, 1).repeat_interleave(views)


class SupervisedSum(Supervised):
    def reduced(self, each: Tensor) -> Tensor:
        return each.sum() / each.shape[0]


class SupervisedNotNormalised(Supervised):
    def normalised(self, z: Tensor) -> Tensor:
        return z


class SupervisedInHalf(Supervised):
    def precise(self, projections: Tensor) -> Tensor:
        return projections

    def bottom(self, logits: Tensor) -> Tensor:
        return logits.exp().sum(1, keepdim=True).log()


# A queue of nearest neighbours: a state.


class Neighbours(nn.Module):
    """Each projection's nearest row of a queue is the positive of the other view's prediction."""

    def __init__(self, projection_dim: int, *, temperature: Annotated[float, Gt(0)] = 0.5) -> None:
        super().__init__()
        self.temperature = temperature
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(8, projection_dim, generator=generator, dtype=torch.float64)
        self.register_buffer("queue", F.normalize(drawn, dim=-1).float())

    def forward(self, projections: Tensor, predictions: Tensor) -> Tensor:
        z, p = checked(projections, predictions)
        z, p = unit(z.detach()), unit(p)
        queue = exact(self.queue)
        self.before(z)
        nearest = self.found(z, queue)
        score = (self.one_way(nearest[0], p[1]) + self.one_way(nearest[1], p[0])) / 2
        self.after(z)
        return score.to(projections.dtype)

    def found(self, z: Tensor, queue: Tensor) -> Tensor:
        return queue[(z @ queue.T).argmax(-1)]

    def one_way(self, keys: Tensor, p: Tensor) -> Tensor:
        return F.cross_entropy(keys @ p.T / self.temperature, torch.arange(len(p)))

    def before(self, z: Tensor) -> None:
        pass

    def after(self, z: Tensor) -> None:
        self.push(z)

    @torch.no_grad()
    def push(self, z: Tensor) -> None:
        rows = z[0].to(self.queue.dtype)
        self.queue.copy_(torch.cat([rows, self.queue])[: len(self.queue)])


def neighbours(
    projections: Tensor, predictions: Tensor, queue: Tensor, temperature: float
) -> Tensor:
    z, p = F.normalize(projections.detach(), dim=-1), F.normalize(predictions, dim=-1)
    total = z.new_zeros(())
    for view in (0, 1):
        other = p[1 - view]
        for i, row in enumerate(z[view]):
            key = queue[int((queue @ row).argmax())]
            logits = other @ key / temperature
            total = total + logits.logsumexp(0) - logits[i]
    return total / (2 * z.shape[1])


class NeighboursPushedFirst(Neighbours):
    def before(self, z: Tensor) -> None:
        self.push(z)

    def after(self, z: Tensor) -> None:
        pass


class NeighboursOutsideBuffers(Neighbours):
    def __init__(self, projection_dim: int, *, temperature: float = 0.5) -> None:
        super().__init__(projection_dim, temperature=temperature)
        self.kept: Tensor | None = None

    def found(self, z: Tensor, queue: Tensor) -> Tensor:
        queue = queue if self.kept is None else self.kept.to(queue.dtype)
        self.kept = torch.cat([z[0], queue])[: len(queue)]
        return super().found(z, queue)

    def push(self, z: Tensor) -> None:
        pass


class NeighboursFirstQueueAlways(Neighbours):
    def __init__(self, projection_dim: int, *, temperature: float = 0.5) -> None:
        super().__init__(projection_dim, temperature=temperature)
        self.first = self.queue.clone()

    def found(self, z: Tensor, queue: Tensor) -> Tensor:
        return super().found(z, self.first.to(queue.dtype))


class NeighboursTrainTheKeys(Neighbours):
    def one_way(self, keys: Tensor, p: Tensor) -> Tensor:
        return F.cross_entropy(keys @ p.detach().T / self.temperature, torch.arange(len(p)))


class NeighboursOneDirection(Neighbours):
    def one_way(self, keys: Tensor, p: Tensor) -> Tensor:
        logits = keys @ p.T / self.temperature
        return F.cross_entropy(logits.T, torch.arange(len(p)))


# Prototypes: weights of the loss.


class Prototypes(nn.Module):
    """Cross-entropy of the prototypes' scores of each view with those of the other, as targets."""

    def __init__(self, projection_dim: int, *, count: Annotated[int, Gt(0)] = 5) -> None:
        super().__init__()
        self.layer = nn.Linear(projection_dim, count, bias=False)

    def forward(self, projections: Tensor) -> Tensor:
        (z,) = checked(projections)
        scores = self.scores(unit(z))
        return (
            (-self.targets(scores).flip(0) * scores.log_softmax(-1))
            .sum(-1)
            .mean()
            .to(projections.dtype)
        )

    def scores(self, z: Tensor) -> Tensor:
        return z @ exact(self.layer.weight).T

    def targets(self, scores: Tensor) -> Tensor:
        return (2 * scores.detach()).softmax(-1)


def prototypes(projections: Tensor, layer_weight: Tensor, count: int) -> Tensor:
    assert len(layer_weight) == count
    scores = F.normalize(projections, dim=-1) @ layer_weight.T
    targets = F.softmax(2 * scores.detach(), dim=-1)
    first = -(targets[1] * F.log_softmax(scores[0], -1)).sum(-1).mean()
    second = -(targets[0] * F.log_softmax(scores[1], -1)).sum(-1).mean()
    return (first + second) / 2


class PrototypesTargetsTrained(Prototypes):
    def targets(self, scores: Tensor) -> Tensor:
        return (2 * scores).softmax(-1)


class PrototypesFrozen(Prototypes):
    def scores(self, z: Tensor) -> Tensor:
        return z @ exact(self.layer.weight).detach().T


class PrototypesAcrossImages(Prototypes):
    def targets(self, scores: Tensor) -> Tensor:
        return (2 * scores.detach()).softmax(1)


# Random directions, as in sliced losses: random numbers.


class Sliced(nn.Module):
    """The views agree, and along random directions the images have variance 1."""

    def __init__(self, *, weight: Annotated[float, Gt(0)] = 0.5) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, projections: Tensor, random: BatchRandom) -> Tensor:
        (z,) = checked(projections)
        apart = (z - z.mean(0)).square().mean()
        drawn = self.directions(random, z)
        variance = self.along(z, F.normalize(drawn, dim=-1)).var(1, correction=0)
        return (apart + self.weight * (variance - 1).square().mean()).to(projections.dtype)

    def directions(self, random: BatchRandom, z: Tensor) -> Tensor:
        return random.normal(z.shape[-1])[0].to(z)

    def along(self, z: Tensor, direction: Tensor) -> Tensor:
        return z @ direction


def sliced(projections: Tensor, random: BatchRandom, weight: float) -> Tensor:
    mean = projections.mean(0)
    apart = torch.stack([(view - mean).square().mean() for view in projections]).mean()
    drawn = random.normal(projections.shape[-1])[0].to(projections)
    along = projections @ (drawn / drawn.norm())
    variance = along.square().mean(1) - along.mean(1).square()
    return apart + weight * (variance - 1).square().mean()


class SlicedGlobalGenerator(Sliced):
    def directions(self, random: BatchRandom, z: Tensor) -> Tensor:
        return torch.randn(z.shape[-1]).to(z)


class SlicedFixedDirection(Sliced):
    def directions(self, random: BatchRandom, z: Tensor) -> Tensor:
        return torch.ones(z.shape[-1]).to(z)


class SlicedWeightIgnored(Sliced):
    def __init__(self, *, weight: float = 0.5) -> None:
        super().__init__(weight=0.5)


# Images and texts: a signal that is in no table, and a weight that is a number.


class Captions(nn.Module):
    """Symmetric cross-entropy of finding the text of an image, and the image of a text."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(math.log(5.0)))

    def forward(self, projections: Tensor, texts: Annotated[Tensor, Shape("B", "D")]) -> Tensor:
        if projections.shape[1] != len(texts) or not len(texts):
            raise ValueError("expected a text for each image")
        z, t = unit(exact(projections).mean(0)), unit(exact(texts))
        logits = self.logits(z, t)
        return self.score(logits, torch.arange(len(t))).to(projections.dtype)

    def logits(self, z: Tensor, t: Tensor) -> Tensor:
        return exact(self.scale).exp() * z @ t.T

    def score(self, logits: Tensor, own: Tensor) -> Tensor:
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def captions(projections: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    z, t = F.normalize(projections.mean(0), dim=-1), F.normalize(texts, dim=-1)
    logits = scale.exp() * (z @ t.T)
    return -(logits.softmax(0).diag().log() + logits.softmax(1).diag().log()).mean() / 2


class CaptionsOneWay(Captions):
    def score(self, logits: Tensor, own: Tensor) -> Tensor:
        return F.cross_entropy(logits, own)


class CaptionsNoScale(Captions):
    def logits(self, z: Tensor, t: Tensor) -> Tensor:
        return z @ t.T


class CaptionsScaleNotTrained(Captions):
    def logits(self, z: Tensor, t: Tensor) -> Tensor:
        return exact(self.scale).detach().exp() * z @ t.T


class CaptionsTextsDetached(Captions):
    def logits(self, z: Tensor, t: Tensor) -> Tensor:
        return super().logits(z, t.detach())


# A frozen teacher of another width; progress of training.


class Distilled(nn.Module):
    """Squared distance to the teacher's features, with a weight that grows in training."""

    def forward(self, predictions: Tensor, teacher_features: Tensor, progress: float) -> Tensor:
        p, t = checked(predictions, teacher_features)
        return (self.weight(progress) * (p - t.detach()).square().mean()).to(predictions.dtype)

    def weight(self, progress: float) -> float:
        return 1 + progress


def distilled(predictions: Tensor, teacher_features: Tensor, progress: float) -> Tensor:
    return (1 + progress) * F.mse_loss(predictions, teacher_features)


class DistilledWithoutProgress(Distilled):
    def weight(self, progress: float) -> float:
        return 1.25


class DistilledRemembers(Distilled):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def weight(self, progress: float) -> float:
        self.calls += 1
        return 1 + progress + 0.01 * (self.calls - 1)


class DistilledInPlace(Distilled):
    def forward(self, predictions: Tensor, teacher_features: Tensor, progress: float) -> Tensor:
        found = super().forward(predictions, teacher_features, progress)
        with torch.no_grad():
            teacher_features.mul_(0.5)
        return found


class Strange(nn.Module):
    """A loss of a signal that nothing describes."""

    def forward(self, boxes: Tensor) -> Tensor:
        return boxes.square().mean()


#: Each sound loss with its formula.
SOUND = {
    Siamese: siamese,
    Supervised: supervised,
    Neighbours: neighbours,
    Prototypes: prototypes,
    Sliced: sliced,
    Captions: captions,
    Distilled: distilled,
}

#: Its broken variants: the subclasses of a sound loss.
BROKEN = [(broken, formula) for loss, formula in SOUND.items() for broken in loss.__subclasses__()]
