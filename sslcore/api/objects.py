"""What the Python API takes in place of a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.contract.stages import DATA_SECTIONS, EVAL_DATA, STAGES
from sslcore.data import Data, Split
from sslcore.errors import UsageError
from sslcore.objects.take import Taken, check_given, take
from sslcore.recipe.recipe import OBJECT_PART
from sslcore.recipe.request import Request, Settings
from sslcore.recipe.toml import read_config
from sslcore.registry.registry import Registry, default_registry
from sslcore.runs.folder import Run

#: Images, with integer labels or without: a data set of torch, or a list of its items.
Images = Split | torch.utils.data.Dataset[Any] | Sequence[Any]
#: Data in place of a name: a path, images of which a part is held out, or a pair (train, test).
DataLike = str | Path | Data | Images | tuple[Images, Images]
#: A transform of one image (C, H, W), float in [0, 1], or a module that returns `views`.
AugmentationLike = str | Callable[[Tensor], Tensor] | nn.Module | type[nn.Module]
#: A module, or a class or function that makes one.
ModuleLike = str | nn.Module | Callable[..., nn.Module]
#: A function of signals that returns a scalar, a module, or its class.
LossLike = str | Callable[..., Tensor] | nn.Module | type[nn.Module]


def take_parts(
    registry: Registry,
    *,
    method: bool,
    data: DataLike | None,
    augmentation: AugmentationLike | None,
    encoder: ModuleLike | None,
    head: ModuleLike | None,
    loss: LossLike | None,
    eval_data: DataLike | None = None,
    recorded: Mapping[str, object] | None = None,
) -> Taken:
    """Return names for the parts of a call; see `sslcore.objects.take.take`."""
    parts = (data, eval_data, augmentation, encoder, head, loss)
    given = dict(zip((*DATA_SECTIONS, *STAGES), parts, strict=True))
    return take(registry, given, method=method, recorded=recorded)


def recorded_in(
    run: str | Path | None, config: str | Path | Mapping[str, object] | None
) -> Mapping[str, object] | None:
    """Return the recipe that a call begins with: that of a run, or of a configuration file."""
    if run is not None:
        return Run.open(run).config()
    return read_config(config) if isinstance(config, (str, Path)) else config


def request_for(
    taken: Taken,
    method: str | None,
    *,
    evaluators: Sequence[str],
    config: str | Path | Mapping[str, object] | None,
    settings: Settings,
) -> Request:
    """Return the request for the parts of a call; without a method, with that of the objects."""
    return Request.of(
        method=method or taken.method,
        data=taken.names["data"],
        eval_data=taken.names[EVAL_DATA],
        augmentation=taken.names["augmentation"],
        encoder=taken.names["encoder"],
        head=taken.names["head"],
        loss=taken.names["loss"],
        evaluators=evaluators,
        config=config,
        settings=settings,
    )


def with_own_weights(request: Request, taken: Taken) -> Request:
    """Return the request for a run that begins with the weights of the objects.

    Raises:
        UsageError: it names other weights as well.
    """
    if not taken.own_weights:
        return request
    names = ", ".join(taken.own_weights)
    asked = request.settings_of("init")
    if asked and asked.get("part") != OBJECT_PART:
        raise UsageError(
            f"init: {names} has weights already; load yours into it and leave init out, or give "
            "its class"
        )
    own = (("init", "path", names), ("init", "part", OBJECT_PART))
    return replace(request, settings=(*request.settings, *own))


def registry_of_run(
    run: str | Path,
    registry: Registry | None,
    *,
    data: DataLike | None = None,
    eval_data: DataLike | None = None,
    augmentation: AugmentationLike | None = None,
    encoder: ModuleLike | None = None,
    head: ModuleLike | None = None,
    loss: LossLike | None = None,
    other_data: bool = False,
) -> tuple[Registry, str | None]:
    """Return the registry with which a run is opened, and the name of other data.

    Args:
        run: the run's folder.
        registry: where to look for parts; everything installed by default.
        data: the object that the run was trained on.
        eval_data: the object that its evaluators use.
        augmentation: the object that the run was trained with.
        encoder: the same for its encoder.
        head: the same for its head.
        loss: the same for its loss.
        other_data: whether the data may be another one than that of the run.

    Raises:
        UsageError: there is no such run, an object is not one that it was trained with, or there
            are two other data sets.
    """
    recorded = Run.open(run).config()
    taken = take_parts(
        registry or default_registry(),
        method=False,
        data=data,
        eval_data=eval_data,
        augmentation=augmentation,
        encoder=encoder,
        head=head,
        loss=loss,
        recorded=recorded,
    )
    check_given(taken, recorded, DATA_SECTIONS if other_data else ())
    others = [
        name
        for section in DATA_SECTIONS
        if (name := taken.names[section]) is not None and not _is_own(taken, recorded, section)
    ]
    return taken.registry, one_data(*others)


def _is_own(taken: Taken, recorded: Mapping[str, object], section: str) -> bool:
    """Whether a call gives the object that a run has in a section."""
    table = recorded.get(section)
    name = table.get("name") if isinstance(table, Mapping) else None
    return section in taken.objects and name == taken.names[section]


def one_data(*names: str | None) -> str | None:
    """Return the data set that a run is evaluated on in place of its own; None for its own.

    Raises:
        UsageError: there are two.
    """
    given = [name for name in names if name is not None]
    if len(given) > 1:
        raise UsageError(
            "--data and --eval-data both name the images to evaluate on; give one of them"
        )
    return given[0] if given else None
