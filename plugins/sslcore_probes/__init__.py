"""Evaluators: probes on frozen features, nearest neighbours, and reconstruction."""

from __future__ import annotations

from collections.abc import Iterable

import sslcore


@sslcore.hookimpl
def sslcore_evaluators() -> Iterable[sslcore.Evaluator]:
    """Yield the evaluators."""
    yield sslcore.Evaluator(
        name="knn",
        summary="Accuracy of a weighted vote among the nearest training images",
        reference="Wu et al. 2018, Unsupervised Feature Learning via Non-Parametric Instance "
        "Discrimination, section 3.4",
        build="sslcore_probes.nearest:Knn",
        default=True,
    )
    yield sslcore.Evaluator(
        name="linear-probe",
        summary="Accuracy of logistic regression on frozen features, with all and with few labels",
        reference="Zhang et al. 2016, Colorful Image Colorization, section 3.2",
        build="sslcore_probes.linear:LinearProbe",
        default=True,
    )
    yield sslcore.Evaluator(
        name="mlp-probe",
        summary="Accuracy of a small multilayer perceptron on frozen features",
        build="sslcore_probes.mlp:MlpProbe",
    )
    yield sslcore.Evaluator(
        name="retrieval",
        summary="Fraction of the nearest other test images that have the same class",
        build="sslcore_probes.nearest:Retrieval",
    )
    yield sslcore.Evaluator(
        name="reconstruction",
        summary="Mean squared error of reconstructed test views; the baseline is PCA of raw pixels",
        reference="Hinton and Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural "
        "Networks",
        build="sslcore_probes.reconstruction:Reconstruction",
    )
