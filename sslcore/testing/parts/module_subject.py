"""The encoder or head under test: its inputs, its outputs, and the rows of an image."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.contract.interface import ENGINE_SIGNALS, interface_of
from sslcore.random import BatchRandom, generator_for
from sslcore.testing.parts.pictures import example_images
from sslcore.testing.parts.spec import EncoderSpec, HeadSpec
from sslcore.testing.parts.subject import PartExample, PartSubject
from sslcore.testing.violation import Violation

Signals = dict[str, Any]

#: Numbers of a run, for parts that ask for them.
_NUMBERS = {"num_images": 1000, "epochs": 10, "steps_per_epoch": 100}

#: Halfway through training, so that parts frozen at its beginning or end are trained too.
_MIDWAY = 0.5


class ModuleSubject(PartSubject):
    """A module of the pipeline that is trained, as the properties see it."""

    spec: EncoderSpec | HeadSpec

    def supplied(self, example: PartExample) -> dict[str, Any]:
        """Return the parameters that the engine would supply for an example."""
        raise NotImplementedError

    def inputs(self, example: PartExample) -> Signals:
        """Return every signal of an example that the part may ask for."""
        raise NotImplementedError

    #: The dimension of the images in signals, except those in `batch_of`.
    batch_dim: int

    def batch_of(self, name: str) -> int:
        """Return the dimension of the images in a signal."""
        return {"step_predictions": 2, "images": 0, "indices": 0}.get(name, self.batch_dim)

    #: Signals that need no gradient.
    without_gradient = frozenset({*ENGINE_SIGNALS, "mask", "targets"})

    def module(self, example: PartExample, *, train: bool = False, seed: int = 0) -> nn.Module:
        """Return a new module with the initial weights of a seed."""
        # As the engine does it: torch.manual_seed would seed every GPU as well.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            made = self.build(self.supplied(example), example)
        if not isinstance(made, nn.Module):
            raise Violation(f"make returned {type(made).__name__}, expected a torch.nn.Module")
        return made.train(train)

    def asked(self, module: nn.Module, example: PartExample) -> Signals:
        """Return the signals that `forward` asks for."""
        parameters = inspect.signature(type(module).forward).parameters
        names = list(parameters)[1:]
        there = self.inputs(example)
        missing = [
            name
            for name in names
            if name not in there and parameters[name].default is inspect.Parameter.empty
        ]
        if missing:
            raise Violation(
                f"its forward asks for {', '.join(missing)}, which the checks can't draw; give "
                "the spec a function of that: signals=…"
            )
        return {name: there[name] for name in names if name in there}

    def run(self, module: nn.Module, inputs: Signals, example: PartExample) -> Signals:
        """Return its outputs for signals."""
        code = self.code(example, inputs, train=module.training)
        made = self.guarded(lambda: module(**inputs), code, example)
        if not isinstance(made, dict) or not all(isinstance(v, Tensor) for v in made.values()):
            what = "other things than tensors in it" if isinstance(made, dict) else type(made)
            raise Violation(f"forward must return a dict of tensors, got {what}", code)
        return made

    def outputs(self, example: PartExample, module: nn.Module | None = None) -> Signals:
        """Return its outputs in eval mode, without a graph."""
        module = self.module(example) if module is None else module
        with torch.no_grad():
            return self.run(module, self.asked(module, example), example)

    def declared(self, module: nn.Module) -> dict[str, bool]:
        """Return the signals that its `forward` declares."""
        return interface_of(type(module)).provides

    def rows(self, signals: Mapping[str, Any], index: Tensor) -> Signals:
        """Return signals of some images, in that order."""
        return {
            name: item.index_select(self.batch_of(name), index)
            if isinstance(item, Tensor)
            else item
            for name, item in signals.items()
        }

    def same(self, got: Signals, wanted: Signals, what: str, example: PartExample) -> None:
        """Raise a violation if outputs differ."""
        code = self.code(example)
        if got.keys() != wanted.keys():
            raise Violation(f"{what}: {', '.join(got)} instead of {', '.join(wanted)}", code)
        for name in wanted:
            self.near(got[name].double(), wanted[name].double(), f"{name}, {what}", code)

    def code(
        self, example: PartExample, inputs: Mapping[str, Any] | None = None, *, train: bool = False
    ) -> str:
        """Return Python code that reproduces an example."""
        mode = "train" if train else "eval"
        lines = [
            "import sslcore.testing",
            "import torch",
            "torch.manual_seed(0)",
            f"part = {self.made(self.arguments(self.supplied(example), example))}.{mode}()",
        ]
        inputs = {} if inputs is None else inputs
        for name, item in inputs.items():
            if isinstance(item, Tensor):
                lines.append(f"{name} = {self.drawn(name, item, example)}")
        if inputs:
            lines.append(f"part({', '.join(f'{name}={name}' for name in inputs)})")
        return "\n".join(lines)

    def drawn(self, name: str, item: Tensor, example: PartExample) -> str:
        """Return code that makes a signal again, or one with its shape and type."""
        shape = tuple(item.shape)
        if item.is_floating_point():
            return f"torch.randn({shape})"
        return f"torch.zeros({shape}, dtype={item.dtype})"


class EncoderSubject(ModuleSubject):
    """An encoder, as the properties see it."""

    spec: EncoderSpec
    batch_dim = 0

    def supplied(self, example: PartExample) -> dict[str, Any]:
        """Return the parameters that the engine would supply for an example."""
        return {
            "image_size": self.spec.image_size,
            "channels": example.channels,
            "num_views": 1,
            **_NUMBERS,
        }

    def inputs(self, example: PartExample) -> Signals:
        """Return the signals of an example."""
        size = self.spec.image_size
        images = example_images(example.batch, example.channels, size, example.pictures)
        views = (images - 0.5) / 0.25
        further = {} if self.spec.signals is None else dict(self.spec.signals(views))
        return {"views": views, **_engines(example.batch), **further}

    def drawn(self, name: str, item: Tensor, example: PartExample) -> str:
        """Return code that makes a signal again."""
        if name != "views":
            return super().drawn(name, item, example)
        given = (example.batch, example.channels, self.spec.image_size, example.pictures)
        return f"(sslcore.testing.example_images{given!r} - 0.5) / 0.25"


class HeadSubject(ModuleSubject):
    """A head, as the properties see it."""

    spec: HeadSpec
    batch_dim = 1

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__(spec)
        self.without_gradient = ModuleSubject.without_gradient | {"views", *spec.of_images}

    def batch_of(self, name: str) -> int:
        """Return the dimension of the images in a signal."""
        return 0 if name in self.spec.of_images else super().batch_of(name)

    def supplied(self, example: PartExample) -> dict[str, Any]:
        """Return the parameters that the engine would supply for an example."""
        return {
            "image_size": self.spec.image_size,
            "channels": self.spec.channels,
            "num_views": self.spec.num_views,
            "feature_dim": self.spec.feature_dim,
            "feature_map_shape": self.spec.feature_map_shape,
            "num_classes": self.spec.num_classes,
            **_NUMBERS,
        }

    def inputs(self, example: PartExample) -> Signals:
        """Return the signals of an example."""
        spec, lead = self.spec, (self.spec.num_views, example.batch)
        if spec.signals is not None:
            return {**_engines(example.batch), **spec.signals(example.batch)}
        generator = generator_for("head inputs", *lead)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(*lead, *shape, generator=generator)

        return {
            "features": drawn(spec.feature_dim),
            "feature_maps": drawn(*spec.feature_map_shape),
            "views": drawn(spec.channels, spec.image_size, spec.image_size),
            "random": BatchRandom(example.seed, example.step, example.batch),
            **_engines(example.batch),
        }


def _engines(batch: int) -> Signals:
    """Return signals that the engine provides, halfway through training."""
    step = round(_MIDWAY * _NUMBERS["epochs"] * _NUMBERS["steps_per_epoch"])
    return {"progress": _MIDWAY, "step": step, "indices": torch.arange(batch)}
