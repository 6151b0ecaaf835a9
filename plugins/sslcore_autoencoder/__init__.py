"""Autoencoders: plain, denoising and hole-filling, with a convolutional encoder and decoder."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

_SETTINGS: dict[str, dict[str, object]] = {
    "encoder": {"compression": 16.0},
    "optimizer": {"name": "Adam", "lr": 2e-3},
    "training": {"batch_size": 64, "schedule": "constant"},
}
_EVALUATORS = ("reconstruction", "linear-probe", "knn")
_DENOISING = "Vincent et al. 2010, Stacked denoising autoencoders"


@sslcore.hookimpl
def sslcore_augmentations() -> Iterator[sslcore.Augmentation]:
    yield sslcore.Augmentation(
        name="plain",
        summary="The image as it is, scaled to [-1, 1]",
        build="sslcore_autoencoder.augmentations:Plain",
    )
    yield sslcore.Augmentation(
        name="denoising",
        summary="An image with Gaussian noise and masked pixels; the target is the clean image",
        reference=f"{_DENOISING}, section 3.3",
        build="sslcore_autoencoder.augmentations:Denoising",
    )
    yield sslcore.Augmentation(
        name="cutout",
        summary="An image with square holes; the target is the whole image",
        reference="DeVries & Taylor 2017, Cutout; Pathak et al. 2016, Context encoders",
        build="sslcore_autoencoder.augmentations:Cutout",
    )


@sslcore.hookimpl
def sslcore_encoders() -> Iterator[sslcore.Encoder]:
    yield sslcore.Encoder(
        name="conv-encoder",
        summary="Strided 4×4 convolutions; each halves the side",
        reference="Masci et al. 2011, Stacked convolutional auto-encoders",
        build="sslcore_autoencoder.encoder:ConvEncoder",
    )


@sslcore.hookimpl
def sslcore_heads() -> Iterator[sslcore.Head]:
    yield sslcore.Head(
        name="code-decoder",
        summary="A linear layer and transposed 4×4 convolutions from a code to an image",
        reference="Hinton & Salakhutdinov 2006, Reducing the dimensionality of data",
        build="sslcore_autoencoder.decoder:CodeDecoder",
    )
    yield sslcore.Head(
        name="conv-decoder",
        summary="Transposed 4×4 convolutions back to an image; each doubles the side",
        reference="Masci et al. 2011, Stacked convolutional auto-encoders",
        build="sslcore_autoencoder.decoder:ConvDecoder",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="mse",
        summary="Mean squared error between reconstructions and the clean views",
        reference="Vincent et al. 2010, section 2.2",
        build="sslcore_autoencoder.loss:MSE",
        family="reconstruction",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="autoencoder",
        summary="Rebuild the image from a code of a sixteenth of its numbers, 256 at the most",
        reference="Hinton & Salakhutdinov 2006, Reducing the dimensionality of data",
        augmentation="plain",
        encoder="conv-encoder",
        head="code-decoder",
        loss="mse",
        evaluators=_EVALUATORS,
        settings=_SETTINGS,
    )
    yield sslcore.Method(
        name="denoising-autoencoder",
        summary="Rebuild the clean image from a noisy one",
        reference=_DENOISING,
        augmentation="denoising",
        encoder="conv-encoder",
        head="code-decoder",
        loss="mse",
        evaluators=_EVALUATORS,
        settings=_SETTINGS,
    )
