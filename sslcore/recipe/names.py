"""The names of a request, looked up: which parts it stands for. Nothing is set yet."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sslcore.contract.records import Dataset, Evaluator, Method
from sslcore.contract.stages import DATA_SECTIONS, EVAL_DATA, STAGES, kind_of
from sslcore.errors import UnknownNameError, UsageError, nearest
from sslcore.recipe.opening import opener
from sslcore.recipe.presets import with_preset
from sslcore.recipe.request import Request
from sslcore.recipe.wiring import Stage, evaluator_problems, takes
from sslcore.registry.loading import Entry
from sslcore.registry.registry import Registry


@dataclass(frozen=True)
class Choice:
    """The parts of a recipe.

    Attributes:
        method: the recipe to start from, with its preset.
        method_entry: the same with its origin.
        dataset: the data set's record.
        data: the data set with its interface.
        path: the file, folder or address, where one was given as data.
        eval_data: the data set that evaluators use, with its interface; None for `data`.
        eval_path: the file, folder or address, where one was given as data for evaluators.
        stages: augmentation, encoder, head (unless there is none) and loss.
        evaluators: with their interfaces.
        notes: the preset that was chosen, and evaluators of the method that were left out, with the
            reason.
        preset: the name of the method's preset, see `with_preset`.
        methods_own: kinds of the stages that are the method's own.
    """

    method: Method
    method_entry: Entry
    dataset: Dataset
    data: Stage
    path: str
    eval_data: Stage | None
    eval_path: str
    stages: tuple[Stage, ...]
    evaluators: tuple[Stage, ...]
    notes: tuple[str, ...]
    preset: str
    methods_own: frozenset[str]

    def is_methods_own(self, entry: Entry) -> bool:
        """Whether a stage is the one that the method names, so that its settings apply."""
        return entry.kind in self.methods_own


def choose(request: Request, registry: Registry, image_size: int | None = None) -> Choice:
    """Look up every name of a request.

    Args:
        request: what the user asked for.
        registry: where parts are looked up.
        image_size: side of the images, px, where they have been opened.

    Raises:
        UsageError: a name is unknown or ambiguous, or none was given where one is needed.
    """
    method_entry = _method(request, registry)
    method = method_entry.record
    assert isinstance(method, Method)
    data_entry, path = _data(request, registry, method)
    dataset = data_entry.record
    assert isinstance(dataset, Dataset)
    method, preset, presets_notes = with_preset(method, request, dataset, image_size)
    eval_entry, eval_path = _eval_data(request, registry, dataset)
    entries = [
        _augmentation(request, registry, method, clips=dataset.clips),
        *(_stage(request, registry, kind, getattr(method, kind)) for kind in _AFTER_VIEWS),
    ]
    stages = tuple((entry, entry.interface()) for entry in entries if entry is not None)
    evaluators, notes = _evaluators(request, registry, method, stages)
    return Choice(
        method,
        method_entry,
        dataset,
        (data_entry, data_entry.interface()),
        path,
        None if eval_entry is None else (eval_entry, eval_entry.interface()),
        eval_path,
        stages,
        evaluators,
        (*presets_notes, *notes),
        preset,
        frozenset(entry.kind for entry, _ in stages if _is_named_by(method, entry, registry)),
    )


def with_variants(request: Request, registry: Registry) -> Request:
    """Return the request with each `NAME:VALUE` split, where the part has variants."""
    for section in (*DATA_SECTIONS, *STAGES):
        bare, given = registry.variant(kind_of(section), request.name_of(section) or "")
        if given:
            request = request.with_variant(section, bare, given)
    return request


def _is_named_by(method: Method, entry: Entry, registry: Registry) -> bool:
    names = getattr(method, entry.kind)
    names = (names,) if isinstance(names, str) else names or ()
    close = [name for name in names if name in entry.addresses]
    # The same bare name may be another distribution's, whose settings are other ones.
    return any(registry.resolve(entry.kind, name) == entry for name in close)


_AFTER_VIEWS = ("encoder", "head", "loss")


def _method(request: Request, registry: Registry) -> Entry:
    name = request.method or request.config.get("method")
    if not name:
        known = ", ".join(registry.names("method"))
        where = f" (or `method` in {request.source})" if request.source else ""
        raise UsageError(f"no method is given: use --method NAME{where}, one of {known}")
    return _found(request, registry, "method", str(name), "method")


def _found(request: Request, registry: Registry, kind: str, name: str, section: str) -> Entry:
    """Look a name up; the error names the configuration file where the name comes from it."""
    try:
        return registry.resolve(kind, name)
    except UsageError as error:
        raise type(error)(f"{error}{request.origin_of(section, 'name')}") from None


def _data(request: Request, registry: Registry, method: Method) -> tuple[Entry, str]:
    """Return the data set, and the path where a path was given."""
    name = request.name_of("data")
    if name is not None:
        return _named_data(request, registry, name, "data")
    if method.data:
        return registry.resolve("dataset", method.data), ""
    for entry, record in _datasets(registry):
        if record.default:
            return entry, ""
    raise UsageError("no data is given: use --data NAME or --data PATH")


def _eval_data(request: Request, registry: Registry, dataset: Dataset) -> tuple[Entry | None, str]:
    """Return the data set that evaluators use, if it is another one, and its path."""
    name = request.name_of(EVAL_DATA)
    if name is None or name == "none":
        if asked := next(iter(request.settings_of(EVAL_DATA, "none")), ""):
            raise UsageError(
                f"{EVAL_DATA}.{asked}: no data is given for evaluators; use --eval-data NAME or "
                "--eval-data PATH"
            )
        return None, ""
    entry, path = _named_data(request, registry, name, EVAL_DATA)
    record = entry.record
    assert isinstance(record, Dataset)
    if record.clips != dataset.clips:
        kinds = [("clips" if each.clips else "images") for each in (record, dataset)]
        raise UsageError(f"--eval-data {name} has {kinds[0]}, and the training data {kinds[1]}")
    return entry, path


def _datasets(registry: Registry) -> list[tuple[Entry, Dataset]]:
    return [
        (entry, entry.record)
        for entry in registry.entries("dataset")
        if isinstance(entry.record, Dataset)
    ]


def _named_data(request: Request, registry: Registry, name: str, section: str) -> tuple[Entry, str]:
    try:
        return _found(request, registry, "dataset", name, section), ""
    except UnknownNameError as error:
        found = opener(name, registry)
        if found:
            return found
        beside = []
        # The working folder may be gone, or closed to us.
        with suppress(OSError):
            beside = [each.name for each in Path().iterdir()]
        raise UnknownNameError(
            f"there is no file or folder {name!r}{nearest(name, beside)}; and {error}"
        ) from None


def _augmentation(request: Request, registry: Registry, method: Method, *, clips: bool) -> Entry:
    asked = request.name_of("augmentation")
    if asked:
        return _found(request, registry, "augmentation", asked, "augmentation")
    names = (method.augmentation,) if isinstance(method.augmentation, str) else method.augmentation
    candidates = [registry.resolve("augmentation", name) for name in names]
    fitting = (candidate for candidate in candidates if takes(candidate.interface(), clips=clips))
    return next(fitting, candidates[0])


def _stage(request: Request, registry: Registry, kind: str, of_method: str | None) -> Entry | None:
    name = request.name_of(kind) or of_method
    if name is None or (kind == "head" and name == "none"):
        return None
    return _found(request, registry, kind, name, kind)


def _evaluators(
    request: Request, registry: Registry, method: Method, stages: Sequence[Stage]
) -> tuple[tuple[Stage, ...], tuple[str, ...]]:
    """Return the evaluators; those not asked for by name are left out where they don't fit."""
    asked = tuple(request.evaluators) or tuple(request.table("evaluators"))
    if not asked and (named := request.name_of("evaluator")):
        asked = (named,)
    names = asked or method.evaluators or _default_evaluators(registry)
    section = "evaluators" if "evaluators" in request.config else "evaluator"
    entries: list[Entry] = []
    for name in names:
        entry = _found(request, registry, "evaluator", name, section)
        # One evaluator may have been named in two ways.
        entries += [] if entry in entries else [entry]
    found = tuple((entry, entry.interface()) for entry in entries)
    if asked:
        return found, ()
    misfits = [evaluator_problems([stage], stages, registry=registry) for stage in found]
    kept = tuple(stage for stage, why in zip(found, misfits, strict=True) if not why)
    return kept, tuple(f"left out: {why[0]}" for why in misfits if why)


def _default_evaluators(registry: Registry) -> tuple[str, ...]:
    return tuple(
        entry.origin.address(entry.name)
        for entry in registry.entries("evaluator")
        if isinstance(entry.record, Evaluator) and entry.record.default
    )
