"""From a recipe to modules: each part is built from its settings and the supplied parameters.

The engine reads the parameters that it supplies to a part (`feature_dim`, …) off a dummy batch that
runs through the parts before it. So a shape that does not fit is an error before the first image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.contract.interface import interface_of, load_reference
from sslcore.contract.reading import Reading
from sslcore.data import Data, Split
from sslcore.data.prepare import prepared
from sslcore.errors import CompositionError, DataError, SslcoreError, UsageError, first_line
from sslcore.pipeline.build_teacher import following_teacher, frozen_teacher, teachers_encoder
from sslcore.pipeline.dummy_batch import check_loss, run_on_dummies
from sslcore.pipeline.initial_weights import differences, load_into
from sslcore.pipeline.parts import build_part
from sslcore.pipeline.pipeline import Pipeline, Signals, call, encode, engine_signals, project
from sslcore.pipeline.training_images import first_extras, numbers_of_training
from sslcore.random import BatchRandom
from sslcore.recipe.recipe import Part, Recipe
from sslcore.system.watching import Watch, unwatched

#: Images in a dummy batch, unless the batches of the run are smaller.
_LARGEST_DUMMY = 4


@dataclass(frozen=True)
class ImageShape:
    """The sizes of the images, as far as parts depend on them."""

    image_size: int
    channels: int
    num_frames: int | None = None
    num_classes: int | None = None

    @classmethod
    def of(cls, split: Split, num_classes: int | None = None) -> ImageShape:
        """Read it off a split."""
        return cls(split.image_size, split.channels, split.num_frames, num_classes)

    def dummy(self, batch: int) -> Tensor:
        """Return a batch of grey images."""
        clip = () if self.num_frames is None else (self.num_frames,)
        side = self.image_size
        return torch.full((batch, *clip, self.channels, side, side), 0.5)

    def __str__(self) -> str:
        kind = "images" if self.num_frames is None else f"clips of {self.num_frames} frames"
        channels = f"{self.channels} channel{'s' if self.channels > 1 else ''}"
        return f"{kind} of {self.image_size} px with {channels}"


def build_data(part: Part) -> Data:
    """Load a data set, with all images in one form; see `open_data`."""
    return open_data(part)[0]


def open_data(part: Part, *, boxes: bool = False, watch: Watch = unwatched) -> tuple[Data, Part]:
    """Load a data set, with all images in one form.

    Args:
        part: the data set; settings that it does not have itself are those of `Reading`.
        boxes: whether training takes boxes of the original images.
        watch: is told how many images are resized.

    Returns:
        The data set, and the part with the settings that lead to the same form again.

    Raises:
        DataError: it can't be read, or does not return `sslcore.data.Data`.
    """
    try:
        target = load_reference(part.build)
        own = interface_of(target).settings
        chosen: dict[str, Any] = {
            name: value for name, value in part.settings.items() if name not in own
        }
        data = target(**{name: part.settings[name] for name in part.settings if name in own})
    except SslcoreError as error:
        if type(error) is SslcoreError:
            raise DataError(f"{part}: {error}") from error
        raise
    except Exception as error:
        raise DataError(f"{part}: {first_line(error)}") from error
    if not isinstance(data, Data):
        raise DataError(f"{part} returned {type(data).__name__}, expected sslcore.Data")
    try:
        data, found = prepared(data, Reading(**chosen), boxes=boxes, watch=watch)
    except DataError as error:
        raise DataError(f"{part}: {error}") from error
    changed = {
        item.name: getattr(found, item.name)
        for item in fields(found)
        if getattr(found, item.name) != item.default
    }
    own_settings = {name: value for name, value in part.settings.items() if name in own}
    return data, replace(part, settings=own_settings | changed)


def takes_boxes(recipe: Recipe) -> bool:
    """Whether training takes boxes of original images.

    It does where the augmentation asks for boxes, and no other stage needs whole images.
    """
    augmentation = load_reference(recipe.augmentation.build)
    others = (recipe.encoder, recipe.head, recipe.loss)
    return hasattr(augmentation, "boxes") and not any(
        "images" in interface_of(load_reference(part.build)).needs
        for part in others
        if part is not None
    )


def build_pipeline(
    recipe: Recipe,
    shape: ImageShape,
    initial: Mapping[str, Tensor] | None = None,
    *,
    train: Split | None = None,
    teacher: Mapping[str, Tensor] | None = None,
) -> Pipeline:
    """Build every stage of a recipe for images of a shape.

    Initial weights are a function of the recipe's seed; torch's global generators are left as
    they were.

    Args:
        recipe: the recipe.
        shape: of the images.
        initial: weights that the encoder has in place of drawn ones, by its own names; those of
            the pipeline, where the recipe goes on from a run.
        train: the images to train on, whose extras are signals; None where a part needs neither
            these nor their number.
        teacher: weights of its own that the encoder of the teacher has, by its names; without
            them, they are drawn or copied from the student.

    Raises:
        CompositionError: a part refuses its settings or the shapes that reach it.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        # torch.manual_seed would seed every GPU as well, and nothing is drawn there.
        torch.default_generator.manual_seed(recipe.training.seed)
        return _build_pipeline(recipe, shape, initial or {}, train, teacher or {})


def build_teachers_encoder(
    recipe: Recipe, shape: ImageShape, train: Split | None = None
) -> nn.Module:
    """Build the encoder of a recipe's teacher, with the weights that its settings give it.

    Raises:
        CompositionError: a part refuses its settings or the shapes that reach it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(recipe.training.seed)
        dummies = _DummyBatch.of(recipe, shape, train)
        dummies.augmentation(recipe.augmentation)
        return teachers_encoder(recipe, dummies.signals, dummies.supplied)


def build_features(
    augmentation: Part, encoder: Part, shape: ImageShape
) -> tuple[nn.Module, nn.Module]:
    """Build augmentation and encoder for images of a shape, with weights to be replaced.

    Raises:
        CompositionError: a part refuses its settings or the shapes that reach it.
    """
    return build_stages(augmentation, encoder, None, shape)[:2]


def build_stages(
    augmentation: Part, encoder: Part, head: Part | None, shape: ImageShape
) -> tuple[nn.Module, nn.Module, nn.Module | None]:
    """Build augmentation, encoder and head for images of a shape, with weights to be replaced.

    Raises:
        CompositionError: a part refuses its settings or the shapes that reach it.
    """
    with torch.random.fork_rng(devices=[]):
        dummies = _DummyBatch(shape, _LARGEST_DUMMY)
        stages = dummies.augmentation(augmentation), dummies.encoder(encoder)
        return *stages, None if head is None else dummies.head(head)


def _build_pipeline(
    recipe: Recipe,
    shape: ImageShape,
    initial: Mapping[str, Tensor],
    train: Split | None,
    taught: Mapping[str, Tensor],
) -> Pipeline:
    dummies = _DummyBatch.of(recipe, shape, train)
    augmentation = dummies.augmentation(recipe.augmentation)
    encoder = dummies.encoder(recipe.encoder)
    frozen, width = frozen_teacher(
        recipe, dummies.signals, dummies.supplied, taught, shape, dummies.of_images
    )
    if width is not None:
        dummies.supplied["teacher_feature_dim"] = width
    head = None if recipe.head is None else dummies.head(recipe.head)
    loss = build_part(recipe.loss, dummies.supplied)
    whole = recipe.init is not None and recipe.init.whole
    if not whole:
        # Before a teacher is copied from it.
        load_into(encoder, initial)
    pipeline = Pipeline(
        augmentation,
        encoder,
        head,
        loss,
        teacher=frozen or following_teacher(recipe, encoder, head, taught),
        feature_dim=dummies.signals["features"].shape[-1],
        frozen=recipe.training.freeze == "encoder",
        of_images=dummies.of_images,
    )
    if whole and initial:
        if unlike := differences(initial, pipeline):
            raise UsageError(
                f"the parts do not fit the weights that the run began with: {unlike} differ; use "
                "the parts that it began with"
            )
        load_into(pipeline, initial)
    if pipeline.teacher is not None:
        teach = Pipeline.teach
        dummies.signals |= run_on_dummies(recipe.encoder, teach, pipeline, dummies.signals, shape)
    check_loss(recipe.loss, pipeline, dummies.signals, shape)
    return pipeline


class _DummyBatch:
    """A dummy batch on its way through the stages, and the parameters read off it."""

    def __init__(
        self,
        shape: ImageShape,
        batch: int,
        numbers: Mapping[str, int] | None = None,
        extras: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.shape, self.batch = shape, batch
        self.supplied: dict[str, object] = {**asdict(shape), **(numbers or {})}
        given = {"indices": torch.arange(batch), **(extras or {})}
        random = BatchRandom(0, 0, batch)
        self.signals = engine_signals(shape.dummy(batch), random, 0.0, given=given)
        self.of_images = set(given)

    @classmethod
    def of(cls, recipe: Recipe, shape: ImageShape, train: Split | None) -> _DummyBatch:
        """Return the dummy batch of a recipe, with what comes with the images to train on."""
        # No larger than a batch, so that a loss which needs more images says so here.
        batch = min(_LARGEST_DUMMY, recipe.training.batch_size)
        numbers = {} if train is None else numbers_of_training(recipe.training, len(train))
        extras = {} if train is None else first_extras(train, batch)
        return cls(shape, batch, numbers, extras)

    def augmentation(self, part: Part) -> nn.Module:
        module: nn.Module = build_part(part, self.supplied)
        made = run_on_dummies(part, call, module, self.signals, self.shape)
        views = self._views(part, made)
        self._in_eval_mode(part, module)
        self.signals |= made
        # What the augmentation makes anew, such as a map that moves with the pixels, has views.
        self.of_images -= made.keys()
        local = self._local_views(part, made, views)
        self.supplied |= {
            "num_views": views.shape[0] + local,
            "channels": views.shape[2],
            "image_size": views.shape[-1],
        }
        return module

    def _in_eval_mode(self, part: Part, module: nn.Module) -> None:
        """Check that the augmentation makes views for evaluators without random numbers."""
        training = module.training
        module.eval()
        try:
            alone = engine_signals(self.signals["images"], None, 0.0)
            made = run_on_dummies(part, call, module, alone, self.shape)
        except CompositionError as error:
            raise CompositionError(
                f"{error} (in eval mode, without `random` and extras: evaluators need views that "
                "are the same every time)"
            ) from error
        finally:
            module.train(training)
        self._views(part, made)

    def _views(self, part: Part, made: Signals) -> Tensor:
        views = made.get("views")
        if not isinstance(views, Tensor):
            raise CompositionError(
                f"{part} must return a dict with the tensor `views`, got {', '.join(made) or '{}'}"
            )
        if views.dim() != 5 or views.shape[1] != self.batch:
            raise CompositionError(
                f"{part}: views must be (V, B, C, h, w) with B = {self.batch}, "
                f"got {tuple(views.shape)}"
            )
        return views

    def _local_views(self, part: Part, made: Signals, views: Tensor) -> int:
        """Return how many views of another size there are."""
        local = made.get("local_views")
        if local is None:
            return 0
        if local.dim() != 5 or local.shape[1:3] != views.shape[1:3]:
            raise CompositionError(
                f"{part}: local_views must be (V', B, C, h', w') with B and C as in views "
                f"{tuple(views.shape)}, got {tuple(local.shape)}"
            )
        return int(local.shape[0])

    def encoder(self, part: Part) -> nn.Module:
        module: nn.Module = build_part(part, self.supplied)
        run = partial(encode, of_images=self.of_images)
        self.signals |= run_on_dummies(part, run, module, self.signals, self.shape)
        if "features" not in self.signals:
            raise CompositionError(f"{part} gives no features, and evaluators need them")
        maps = self.signals.get("feature_maps")
        self.supplied |= {
            "feature_dim": self.signals["features"].shape[-1],
            "feature_map_shape": None if maps is None else tuple(maps.shape[2:]),
            # Without a head there are no projections.
            "projection_dim": None,
        }
        return module

    def head(self, part: Part) -> nn.Module:
        module: nn.Module = build_part(part, self.supplied)
        self.signals |= run_on_dummies(part, project, module, self.signals, self.shape)
        projections = self.signals.get("projections")
        self.supplied["projection_dim"] = None if projections is None else projections.shape[-1]
        return module
