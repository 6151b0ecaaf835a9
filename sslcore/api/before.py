"""Before a run: build one part, look at the views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sslcore.api.objects import (
    AugmentationLike,
    DataLike,
    LossLike,
    ModuleLike,
    recorded_in,
    request_for,
    take_parts,
    with_own_weights,
)
from sslcore.compute.device import pick_device
from sslcore.compute.rng_state import preserved_generators
from sslcore.contract.records import Component
from sslcore.errors import UsageError
from sslcore.pipeline.build import build_data
from sslcore.pipeline.parts import build_part
from sslcore.recipe.recipe import Part
from sslcore.recipe.request import Settings
from sslcore.recipe.resolve import data_part
from sslcore.recipe.validation import Validation
from sslcore.registry.registry import Registry, default_registry
from sslcore.reports.preview import checked_output, write_preview
from sslcore.system.terminal import stderr_console
from sslcore.training.session import Session
from sslcore.training.start import plan, shrinkable

if TYPE_CHECKING:
    from rich.console import Console


def build(kind: str, name: str, *, registry: Registry | None = None, **settings: Any) -> Any:
    """Build one component by name: `build("loss", "nt-xent", temperature=0.2)`.

    Args:
        kind: "augmentation", "encoder", "head", "loss", "evaluator" or "dataset".
        name: the component's name.
        registry: where to look for it; everything installed by default.
        **settings: its settings, and the parameters that the engine would supply
            (`feature_dim=512`).

    Returns:
        The module, the evaluator, or the data set (`sslcore.Data`), its images in one form, as
        those of a run are.

    Raises:
        UsageError: the name or a setting is unknown, or a value has the wrong type or range.
    """
    if not isinstance(name, str):
        raise UsageError(
            f"build takes the name of a part, got {type(name).__name__}; give an object to "
            "sslcore.train as it is"
        )
    registry = registry or default_registry()
    name, variant = registry.variant(kind, name)
    entry = registry.resolve(kind, name)
    if not isinstance(entry.record, Component):
        raise UsageError(f"{entry} is a recipe: train it with sslcore.train")
    interface = entry.interface()
    if kind == "dataset":
        validation = Validation()
        part = data_part(kind, (entry, interface), {**variant, **settings}, validation)
        validation.check()
        return build_data(part)
    supplied = {key: settings.pop(key) for key in interface.supplied if key in settings}
    validation = Validation()
    values = {**variant, **settings}
    valid = validation.settings(kind, interface.settings, values, entry.owner)
    validation.problems += [
        f"{kind}.{key}: must be given where no engine supplies it ({entry})"
        for key, needed in interface.supplied.items()
        if needed and key not in supplied
    ]
    validation.check()
    return build_part(Part.of(entry, valid or {}), supplied)


def preview(
    method: str | None = None,
    *,
    data: DataLike | None = None,
    eval_data: DataLike | None = None,
    augmentation: AugmentationLike | None = None,
    encoder: ModuleLike | None = None,
    head: ModuleLike | None = None,
    loss: LossLike | None = None,
    evaluators: Sequence[str] = (),
    config: str | Path | Mapping[str, object] | None = None,
    settings: Settings = (),
    output: str | Path = "preview.png",
    device: str = "auto",
    console: Console | None = None,
    registry: Registry | None = None,
) -> Path:
    """Draw a few images and the views that training makes of them; nothing is trained.

    The arguments are those of `train`.

    Args:
        method: the method.
        data: a data set's name, or the path of a folder; the embedded digits by default. Or a
            map-style data set of (image, label) or of images, a `Split`, a pair (train, test) of
            these, or a `Data`: images are PIL images, uint8, or floats in [0, 1].
        eval_data: the images that evaluators use; then training uses all images of `data`.
        augmentation: augmentation to use in place of the method's default: a name, or a function
            from an image (C, H, W), float in [0, 1], to a view, such as a transform of torchvision.
        encoder: encoder to use in place of the method's default: a name, an `nn.Module`, or a class
            or function that makes one. It returns features (N, F), or maps (N, F, h', w').
        head: head to use in place of the method's default, as for `encoder`: features (N, F) to
            projections (N, D). "none" for no head.
        loss: loss to use in place of the method's default: a name, or a function or an `nn.Module`
            whose parameters are signals, such as `projections` (V, B, D), or the projections of
            two views, (B, D) each. It returns a scalar.
        evaluators: evaluators to use in place of the method's default.
        config: a TOML file of settings by section, or the sections.
        settings: by section, `{"augmentation": {"crop_scale": (0.4, 1.0)}}`.
        output: the PNG to write; a file of that name is replaced.
        device: where to compute.
        console: where notes are printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Returns:
        The path of the picture.

    Raises:
        UsageError: the request can't be carried out as asked, or the picture can't be written.
    """
    path = checked_output(output)
    taken = take_parts(
        registry or default_registry(),
        method=method is None,
        data=data,
        eval_data=eval_data,
        augmentation=augmentation,
        encoder=encoder,
        head=head,
        loss=loss,
        recorded=recorded_in(None, config),
    )
    request = request_for(
        taken,
        method,
        evaluators=evaluators,
        config=config,
        settings=settings,
    )
    console = console or stderr_console()
    where = pick_device(device)
    planned = plan(with_own_weights(request, taken), taken.registry)
    if planned.settle is None:
        for note in planned.notes:
            console.print(f"note: {note}")
    # Views are those of the training images.
    recipe = replace(planned.recipe, eval_data=None)
    with preserved_generators(where):
        session = Session.prepare(
            recipe,
            device=where,
            console=console,
            shrink=shrinkable(request),
            settle=planned.settle,
        )
        write_preview(session, path)
    return path
