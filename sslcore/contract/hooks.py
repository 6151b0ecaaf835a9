"""The hooks that a plugin may implement: one for each kind of part.

A plugin is a module that an installed distribution names under the entry-point group `sslcore`:

    [project.entry-points.sslcore]
    my_plugin = "my_plugin"

A hook is a function that takes nothing and yields records (see `sslcore.contract.records`). It
must be cheap and import nothing heavy: it runs whenever parts are listed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from sslcore.contract.records import (
        Augmentation,
        Dataset,
        Encoder,
        Evaluator,
        Head,
        Loss,
        Method,
        Optimizer,
        Schedule,
        Tracker,
    )

hookspec = pluggy.HookspecMarker("sslcore")
hookimpl = pluggy.HookimplMarker("sslcore")


@hookspec
def sslcore_augmentations() -> Iterable[Augmentation]:
    """Yield augmentations: modules that make views of a batch of images.

    Example:
        @sslcore.hookimpl
        def sslcore_augmentations():
            yield sslcore.Augmentation(
                name="flip-pair",
                summary="The image and its mirror image, as two views",
                build="my_plugin.augmentations:FlipPair",
            )

        class FlipPair(nn.Module):
            def forward(self, images: Tensor) -> Views:
                return {"views": torch.stack([images, images.flip(-1)])}
    """


@hookspec
def sslcore_encoders() -> Iterable[Encoder]:
    """Yield encoders: modules that turn a flat batch of views into features.

    Example:
        @sslcore.hookimpl
        def sslcore_encoders():
            yield sslcore.Encoder(
                name="linear",
                summary="One linear layer over the pixels",
                build="my_plugin.encoders:Linear",
            )

        class Linear(nn.Module):
            def __init__(
                self, image_size: int, channels: int, *, width: Annotated[int, Gt(0)] = 64
            ):
                super().__init__()
                self.layer = nn.Linear(channels * image_size**2, width)

            def forward(self, views: Tensor) -> Features:
                return {"features": self.layer(views.flatten(1))}
    """


@hookspec
def sslcore_heads() -> Iterable[Head]:
    """Yield heads: modules between the features and the loss, thrown away after training.

    Example:
        @sslcore.hookimpl
        def sslcore_heads():
            yield sslcore.Head(
                name="linear-projection",
                summary="One linear layer",
                build="my_plugin.heads:LinearProjection",
            )

        class LinearProjection(nn.Module):
            def __init__(self, feature_dim: int, *, width: Annotated[int, Gt(0)] = 32):
                super().__init__()
                self.layer = nn.Linear(feature_dim, width)

            def forward(self, features: Tensor) -> Projections:
                return {"projections": self.layer(features)}
    """


@hookspec
def sslcore_losses() -> Iterable[Loss]:
    """Yield losses: modules that return a scalar, or a dict with `loss` and numbers to log.

    Example:
        @sslcore.hookimpl
        def sslcore_losses():
            yield sslcore.Loss(
                name="agreement",
                summary="Mean squared distance between the projections of two views",
                build="my_plugin.losses:Agreement",
            )

        class Agreement(nn.Module):
            def forward(self, projections: Tensor) -> Tensor:
                first, second = projections
                return (first - second).square().mean()
    """


@hookspec
def sslcore_evaluators() -> Iterable[Evaluator]:
    """Yield evaluators: classes whose instances score features.

    Example:
        @sslcore.hookimpl
        def sslcore_evaluators():
            yield sslcore.Evaluator(
                name="nearest-mean",
                summary="Accuracy of the nearest class mean",
                build="my_plugin.evaluators:NearestMean",
            )

        class NearestMean:
            def __call__(self, train_features, train_labels, test_features, test_labels):
                classes = train_labels.unique()
                means = torch.stack([train_features[train_labels == c].mean(0) for c in classes])
                guess = classes[torch.cdist(test_features, means).argmin(1)]
                return {"nearest_mean_top1": (guess == test_labels).float().mean().item()}
    """


@hookspec
def sslcore_datasets() -> Iterable[Dataset]:
    """Yield data sets: functions that return `sslcore.data.Data`.

    Example:
        @sslcore.hookimpl
        def sslcore_datasets():
            yield sslcore.Dataset(
                name="noise",
                summary="Uniform noise in two classes without meaning",
                build="my_plugin.datasets:noise",
                preset="quick",
                defaults={"training": {"epochs": 1}},
            )

        def noise(*, size: Annotated[int, Gt(0)] = 8) -> Data:
            generator = torch.Generator().manual_seed(0)
            shape = (64, 1, size, size)
            images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
            labels = torch.arange(64) % 2
            train, test = Split(images[:48], labels[:48]), Split(images[48:], labels[48:])
            return Data(train=train, test=test, classes=("zero", "one"))
    """


@hookspec
def sslcore_optimizers() -> Iterable[Optimizer]:
    """Yield optimizers: subclasses of `torch.optim.Optimizer`, or functions that return one.

    Example:
        @sslcore.hookimpl
        def sslcore_optimizers():
            yield sslcore.Optimizer(
                name="sign-descent",
                summary="Moves each weight by the learning rate, against the sign of its gradient",
                build="my_plugin.optimizers:SignDescent",
            )

        class SignDescent(torch.optim.Optimizer):
            def __init__(self, params, *, lr: Annotated[float, Gt(0)] = 1e-3):
                super().__init__(params, {"lr": lr})

            @torch.no_grad()
            def step(self, closure=None):
                for group in self.param_groups:
                    for weight in group["params"]:
                        if weight.grad is not None:
                            weight -= group["lr"] * weight.grad.sign()
    """


@hookspec
def sslcore_schedules() -> Iterable[Schedule]:
    """Yield schedules: functions that return the part of the way that is left, from 1 to 0.

    Example:
        @sslcore.hookimpl
        def sslcore_schedules():
            yield sslcore.Schedule(
                name="square-root",
                summary="Slowly at first, and fast at the end",
                build="my_plugin.schedules:square_root",
            )

        def square_root(done: float) -> float:
            return (1 - done) ** 0.5
    """


@hookspec
def sslcore_trackers() -> Iterable[Tracker]:
    """Yield trackers: classes whose instances are told what happens in a run.

    Example:
        @sslcore.hookimpl
        def sslcore_trackers():
            yield sslcore.Tracker(
                name="loss-notes",
                summary="Appends each loss to a text file",
                build="my_plugin.trackers:Notes",
            )

        class Notes:
            def started(self, folder, settings, step):
                self.file = folder / "notes.txt"

            def logged(self, step, numbers):
                with self.file.open("a") as notes:
                    notes.write(f"step {step}: loss {numbers['loss']:.3f}\\n")
    """


@hookspec
def sslcore_methods() -> Iterable[Method]:
    """Yield methods: recipes that name one part of each kind, from any plugin.

    Example:
        @sslcore.hookimpl
        def sslcore_methods():
            yield sslcore.Method(
                name="agreement",
                summary="Pull two views together (and collapse, as the table will show)",
                augmentation="flip-pair",
                encoder="linear",
                head="linear-projection",
                loss="agreement",
                settings={"optimizer": {"name": "Adam", "lr": 1e-3}},
            )
    """
