"""The augmentation under test: its views, in training and for evaluators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sslcore.contract.interface import interface_of
from sslcore.pipeline.pipeline import call, engine_signals
from sslcore.random import BatchRandom
from sslcore.testing.parts.pictures import example_images
from sslcore.testing.parts.spec import AugmentationSpec
from sslcore.testing.parts.subject import PartExample, PartSubject
from sslcore.testing.violation import Violation

#: Frames per clip, for an augmentation that needs clips.
_FRAMES = 6
#: Steps whose views are compared, to find out whether views are random.
_STEPS = 8


class AugmentationSubject(PartSubject):
    """An augmentation, as the properties see it."""

    spec: AugmentationSpec

    @property
    def frames(self) -> int | None:
        """Frames of the input clips; None for images."""
        if self.spec.num_frames is not None:
            return self.spec.num_frames
        return _FRAMES if self.interface.supplied.get("num_frames") else None

    def images(self, example: PartExample) -> Tensor:
        """Return the images of an example."""
        size = self.spec.image_size
        return example_images(example.batch, example.channels, size, example.pictures, self.frames)

    def module(self, example: PartExample, *, train: bool = True) -> nn.Module:
        """Return a new augmentation for the images of an example."""
        supplied = {
            "image_size": self.spec.image_size,
            "channels": example.channels,
            "num_frames": self.frames,
        }
        made = self.build(supplied, example)
        if not isinstance(made, nn.Module):
            raise Violation(f"make returned {type(made).__name__}, expected a torch.nn.Module")
        return made.train(train)

    def run(
        self, module: nn.Module, images: Tensor, example: PartExample, random: BatchRandom | None
    ) -> dict[str, Any]:
        """Return the outputs of an augmentation for images, called as the engine calls it."""
        signals = engine_signals(images, random, 0.0)
        code = self.code(example, train=module.training)
        with torch.no_grad():
            made = self.guarded(lambda: call(module, signals), code, example)
        if not isinstance(made, dict) or not isinstance(made.get("views"), Tensor):
            got = f"{{{', '.join(map(str, made))}}}" if isinstance(made, dict) else type(made)
            raise Violation(f"it must return a dict with the tensor `views`, got {got}", code)
        return made

    def train_views(
        self,
        example: PartExample,
        *,
        images: Tensor | None = None,
        rows: slice | None = None,
        module: nn.Module | None = None,
    ) -> Tensor:
        """Return the training views (V, B, C, h, w) of an example, or of a part of its batch.

        Args:
            example: settings, batch and random numbers.
            images: used instead of the example's images.
            rows: the part of the batch to pass.
            module: used instead of a new augmentation.
        """
        images = self.images(example) if images is None else images
        random = BatchRandom(example.seed, example.step, len(images), rows=rows)
        module = self.module(example) if module is None else module
        given = images if rows is None else images[rows]
        made = self.run(module, given, example, random)
        # Some settings turn local views off.
        result: Tensor = made.get(self.spec.signal, made["views"])
        return result

    def eval_views(self, example: PartExample, images: Tensor | None = None) -> Tensor:
        """Return the views that evaluators see."""
        images = self.images(example) if images is None else images
        result: Tensor = self.run(self.module(example, train=False), images, example, None)["views"]
        return result

    def declared(self, module: nn.Module) -> dict[str, bool]:
        """Return the signals that its `forward` declares."""
        return interface_of(type(module)).provides

    def why_not_random(self, example: PartExample) -> str:
        """Return why there is nothing random to check; empty if there is.

        Views that differ between two seeds or two steps are random.
        """
        first = self.train_views(example)
        for number in range(1, _STEPS):
            for seed, step in ((example.seed, example.step + number), (example.seed + number, 0)):
                moved = PartExample(
                    example.settings, example.channels, example.batch, example.pictures, seed, step
                )
                again = self.train_views(moved)
                if again.shape != first.shape or not torch.equal(again, first):
                    return ""
        return "its views are the same for every seed and step at these settings"

    def code(self, example: PartExample, *, train: bool = True) -> str:
        """Return Python code that reproduces an example."""
        supplied = {
            "image_size": self.spec.image_size,
            "channels": example.channels,
            "num_frames": self.frames,
        }
        given = (example.batch, example.channels, self.spec.image_size, example.pictures)
        clip = "" if self.frames is None else f", frames={self.frames}"
        mode = "train" if train else "eval"
        random = f"sslcore.BatchRandom({example.seed}, {example.step}, {example.batch})"
        return "\n".join(
            [
                "import sslcore",
                "from sslcore.testing.parts import example_images",
                f"part = {self.made(self.arguments(supplied, example))}.{mode}()",
                f"images = example_images({', '.join(map(repr, given))}{clip})",
                f"signals = dict(images=images, random={random if train else None}, progress=0.0)",
                f'views = sslcore.pipeline.pipeline.call(part, signals)["{self.spec.signal}"]',
            ]
        )
