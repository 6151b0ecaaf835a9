"""Augmentations from Python: a function of one image, applied to each image and view."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn

from sslcore.errors import CompositionError
from sslcore.objects.modules import Source, as_it_is, module_part
from sslcore.objects.names import qualified_name
from sslcore.objects.randomness import own_randomness
from sslcore.random import BatchRandom
from sslcore.signals import Views

Transform = Callable[[Tensor], Tensor]

#: Seeds of the draws for one view.
_SEEDS = 2**62


def augmentation_part(given: object) -> type[nn.Module]:
    """Return the class of an augmentation.

    Args:
        given: a module, or its class, whose forward returns `views` by name; or a function of an
            image (C, H, W), such as a transform of torchvision.

    Raises:
        CompositionError: it is neither.
    """
    own = as_it_is(Source("augmentation", given)) if _follows_contract(given) else None
    if own is not None:
        return module_part(Source("augmentation", given), own)
    if inspect.isclass(given):
        raise CompositionError(
            f"augmentation: {qualified_name(given)} is a class; give an instance of it"
        )
    assert callable(given)
    return _views_by(given)


def _follows_contract(given: object) -> bool:
    is_module = isinstance(given, nn.Module)
    is_class = inspect.isclass(given) and issubclass(given, nn.Module)
    return (is_module or is_class) and Source("augmentation", given).follows_contract


def _views_by(transform: Transform) -> type[nn.Module]:
    class TransformedViews(nn.Module):
        """Views of each image, made by a transform of one image.

        In eval mode, there is one view: the image, resized to the size of the views, and normalised
        where the transform ends with a `Normalize` of torchvision.

        Args:
            views: views of each image.

        Raises:
            ValueError: the transform does not return a float image, or fails.
        """

        mean: Tensor
        std: Tensor

        def __init__(
            self, image_size: int, channels: int, *, views: Annotated[int, Ge(1)] = 2
        ) -> None:
            super().__init__()
            self.views = views
            with own_randomness() as seed:
                seed(0)
                grey = torch.full((channels, image_size, image_size), 0.5)
                self.size = tuple(_transformed(transform, grey).shape[-2:])
            mean, std = _normalization(transform, channels)
            self.register_buffer("mean", mean, persistent=False)
            self.register_buffer("std", std, persistent=False)

        def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
            if not self.training:
                resized = nn.functional.interpolate(
                    images, self.size, mode="bilinear", antialias=True, align_corners=False
                )
                whole = images if images.shape[-2:] == self.size else resized
                return {"views": ((whole - self.mean) / self.std)[None]}
            if random is None:
                raise ValueError("an augmentation needs random numbers in training mode")
            # The draws of a transform are made on the CPU, as those of sslcore are, so that each
            # device sees the same views.
            seeds = random.integers(0, _SEEDS, self.views).tolist()
            with own_randomness() as seed:
                made = [
                    _seeded(transform, image, seed, seeds[row][view], self.size)
                    for view in range(self.views)
                    for row, image in enumerate(images.cpu())
                ]
            views = torch.stack(made).unflatten(0, (self.views, len(images)))
            return {"views": views.to(images.device)}

    TransformedViews.__init__.__annotations__ = {
        "image_size": int,
        "channels": int,
        "views": Annotated[int, Ge(1)],
    }
    return TransformedViews


def _seeded(
    transform: Transform, image: Tensor, seed: Callable[[int], None], value: int, size: object
) -> Tensor:
    seed(value)
    made = _transformed(transform, image)
    if made.shape[-2:] != size:
        raise ValueError(
            f"the transform returns images of different sizes: {size} and "
            f"{tuple(made.shape[-2:])}; end it with a crop or a resize to one size"
        )
    return made


def _transformed(transform: Transform, image: Tensor) -> Tensor:
    # A transform may change its input in place.
    made: Any = transform(image.clone())
    if not isinstance(made, Tensor):
        raise ValueError(
            f"the transform returned {type(made).__name__}, expected one view: a float tensor "
            "(C, h, w); the setting `views` says how many are made"
        )
    if made.dim() != 3 or not made.is_floating_point():
        raise ValueError(
            f"the transform returned {made.dtype} of shape {tuple(made.shape)}, expected a float "
            "tensor (C, h, w); v2.ToDtype(torch.float32, scale=True) makes floats"
        )
    return made.as_subclass(Tensor).float()


def _normalization(transform: object, channels: int) -> tuple[Tensor, Tensor]:
    """Return mean and std (C, 1, 1) of the `Normalize` at the end of a transform; else 0 and 1."""
    from torchvision import transforms
    from torchvision.transforms import v2

    last = transform
    while isinstance(last, (v2.Compose, transforms.Compose, nn.Sequential)):
        steps = list(last) if isinstance(last, nn.Sequential) else list(last.transforms)
        while steps and isinstance(steps[-1], (v2.ToPureTensor, nn.Identity)):
            steps.pop()
        if not steps:
            break
        last = steps[-1]
    if not isinstance(last, (v2.Normalize, transforms.Normalize)):
        return torch.zeros(channels, 1, 1), torch.ones(channels, 1, 1)
    return torch.tensor(last.mean).view(-1, 1, 1), torch.tensor(last.std).view(-1, 1, 1)
