"""What the pictures of a report are drawn from: computed once, on first use."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sslcore.data import Split
from sslcore.data.sample import rows_of, sample
from sslcore.evaluation.classifier import Classifier
from sslcore.evaluation.evaluate import Table, in_batches
from sslcore.evaluation.extractor import FeatureExtractor
from sslcore.evaluation.suitable import NO_LABELS, NO_TEST, ONE_LABEL
from sslcore.evaluation.table import beginning
from sslcore.pipeline.pipeline import (
    Pipeline,
    Signals,
    augment,
    encode,
    project,
    signal_names,
)
from sslcore.random import BatchRandom
from sslcore.reports.fine_tuning import COMPARED, FineTuningScores
from sslcore.reports.maps import DEFAULT_MAP, Array, in_two_dimensions
from sslcore.runs.folder import METRICS, Run
from sslcore.runs.metrics import Line, read_metrics
from sslcore.runs.scores import Details
from sslcore.training.session import Session

#: Test images, and images that predictions are fitted on, at the most.
_TEST, _FIT = 1000, 5000
#: Test images on a map, and with their reconstructions, at the most.
_ON_MAP, _DECODED = 300, 8


class Decoded(NamedTuple):
    """Test images on their way through encoder and decoder.

    Attributes:
        signals: of the augmentation.
        code: numbers that the encoder hands to the decoder for a view.
        made: reconstructions (V, B, C, h, w).
    """

    signals: Signals
    code: int
    made: Tensor


class Material:
    """A run with its data and its pipeline, and what pictures need of them.

    Args:
        session: the recipe with data and pipeline; the pipeline holds the trained weights.
        run: the run's folder.
        map: the name of the map.
    """

    def __init__(self, session: Session, run: Run, map: str = DEFAULT_MAP) -> None:
        self.session: Session = session
        self.run: Run = run
        self.map: str = map
        self.recipe, self.data = session.recipe, session.data

    @cached_property
    def metrics(self) -> list[Line]:
        """The lines of metrics.jsonl."""
        return read_metrics(self.run.path / METRICS)

    @cached_property
    def table(self) -> Table:
        """The evaluation; empty where there is none."""
        return self.run.read_evaluation()

    @cached_property
    def details(self) -> Details:
        """By metric: how it was measured."""
        return self.run.read_details()

    @cached_property
    def fine_tuning(self) -> FineTuningScores | None:
        """The scores of the trainings that a fine-tuned run was compared with, if any."""
        return FineTuningScores.read(self.run.path / COMPARED)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty where test images don't have one label each."""
        return () if self.without_classes else self.data.classes

    @property
    def without_classes(self) -> str:
        """Why test images have no class each; empty where they have."""
        if self.data.fit.labels is None:
            return NO_LABELS
        if self.data.test is None:
            return NO_TEST
        if self.data.test.labels is None:
            return NO_LABELS
        return ONE_LABEL if self.data.several_labels else ""

    @property
    def shown(self) -> str:
        """What the images of `test` are called."""
        return "training images" if self.data.test is None else "test images"

    @cached_property
    def _images(self) -> tuple[Split, Split]:
        if self.data.test is not None:
            return sample(self.data.test, _TEST), sample(self.data.fit, _FIT)
        both = sample(self.data.fit, _TEST + _FIT)
        rows = torch.arange(len(both))
        shown = rows % max(2, 1 + len(both) // _TEST) == 0
        return rows_of(both, rows[shown]), rows_of(both, rows[~shown])

    @property
    def test(self) -> Split:
        """Test images, evenly spread over the split; without a split, training images."""
        return self._images[0]

    @property
    def fit(self) -> Split:
        """Other training images, evenly spread over the split that evaluators fit on."""
        return self._images[1]

    @property
    def began(self) -> str:
        """What the encoder is called with its initial weights."""
        return beginning(pretrained=self.session.pretrained)

    @cached_property
    def untrained(self) -> Pipeline:
        """The pipeline with its initial weights."""
        return self.session.untrained().eval()

    @cached_property
    def test_features(self) -> Array:
        """Features of the test images, (M, F)."""
        return self._features(self.session.pipeline, self.test)

    @cached_property
    def untrained_features(self) -> Array:
        """Features of the test images before training, (M, F)."""
        return self._features(self.untrained, self.test)

    @cached_property
    def fit_features(self) -> Array:
        """Features of the training images, (N, F)."""
        return self._features(self.session.pipeline, self.fit)

    @cached_property
    def test_labels(self) -> Array:
        """Classes of the test images, (M,)."""
        return _labels(self.test)

    @cached_property
    def fit_labels(self) -> Array:
        """Classes of the training images, (N,)."""
        return _labels(self.fit)

    @cached_property
    def probabilities(self) -> Array:
        """Probability of each class for each test image, (M, K).

        A run with a classifier has its own; otherwise, it is that of a softmax regression on the
        standardised features of `fit`, with a little weight decay.
        """
        if self.classifies:
            return self._own_probabilities()
        from sklearn.linear_model import LogisticRegression

        centre, scale = self.fit_features.mean(0), self.fit_features.std(0) + 1e-6
        # A picture needs no more digits than this; the figures come from the evaluators.
        classifier = LogisticRegression(C=0.1, max_iter=100, tol=1e-2)
        classifier.fit((self.fit_features - centre) / scale, self.fit_labels)
        found = np.zeros((len(self.test), len(self.classes)))
        # A class may have no image among those that were fitted on.
        found[:, classifier.classes_] = classifier.predict_proba(
            (self.test_features - centre) / scale
        )
        return found

    @property
    def classifies(self) -> bool:
        """Whether the run has a classifier of its own."""
        return bool(self.run.class_names())

    def _own_probabilities(self) -> Array:
        pipeline = self.session.pipeline.eval()
        assert pipeline.head is not None
        extractor = FeatureExtractor(pipeline.augmentation, pipeline.encoder)
        classifier = Classifier(extractor, pipeline.head, self.classes)
        logits = in_batches(classifier, self.test, self.session.device)
        found: Array = logits.softmax(1).cpu().numpy()
        return found

    @cached_property
    @torch.no_grad()
    def decoded(self) -> Decoded | None:
        """Test images through encoder and decoder, disturbed or masked as in training.

        None where the head makes no reconstructions.
        """
        pipeline, device = self.session.pipeline, self.session.device
        if pipeline.head is None:
            return None
        images = self.test.read(torch.arange(min(_DECODED, len(self.test)))).to(device)
        augmentation = pipeline.augmentation.train()
        pipeline.encoder.eval()
        pipeline.head.eval()
        random = BatchRandom(self.recipe.training.seed, 0, len(images), device=device)
        signals = augment(augmentation, images, random=random)
        encoded = encode(pipeline.encoder, signals)
        made = project(pipeline.head, signals | encoded).get("reconstructions")
        if not isinstance(made, Tensor):
            return None
        received = [encoded[name] for name in signal_names(pipeline.head) if name in encoded]
        return Decoded(signals, sum(each[0, 0].numel() for each in received), made)

    @cached_property
    def mapped(self) -> tuple[Array, Future[dict[str, Array]]]:
        """Rows of test images, and their places on a map, trained and untrained, each (n, 2).

        The map is made in a thread, beside the other pictures: it needs most of the time, and the
        others need Python.
        """
        rows = np.linspace(0, len(self.test) - 1, min(_ON_MAP, len(self.test))).round()
        rows = np.unique(rows.astype(int))
        features = {
            "trained": self.test_features[rows],
            self.began: self.untrained_features[rows],
        }
        seed = self.recipe.training.seed % 2**32
        pool = ThreadPoolExecutor(1)
        made = pool.submit(
            lambda: {
                name: in_two_dimensions(each, seed, self.map) for name, each in features.items()
            }
        )
        pool.shutdown(wait=False)
        return rows, made

    @cached_property
    def neighbours(self) -> Array:
        """Training images in the order of their cosine similarity to each test image, (M, 5)."""
        test, fit = _unit(self.test_features), _unit(self.fit_features)
        return np.argsort(-(test @ fit.T), axis=1, kind="stable")[:, :5]

    def _features(self, pipeline: Pipeline, split: Split) -> Array:
        pipeline.eval()
        extract = FeatureExtractor(pipeline.augmentation, pipeline.encoder)
        features: Array = in_batches(extract, split, self.session.device).cpu().numpy()
        return features


def _labels(split: Split) -> Array:
    assert split.labels is not None
    labels: Array = split.labels.numpy()
    return labels


def _unit(rows: Array) -> Array:
    result: Array = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return result
