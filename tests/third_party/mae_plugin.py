"""A masked autoencoder as a third party would publish it: hidden patches are never encoded."""

import sslcore


@sslcore.hookimpl
def sslcore_augmentations():
    yield sslcore.Augmentation(
        name="tiny-patch-mask",
        summary="The image, and which of its patches are hidden",
        build="mae_parts:PatchMask",
    )


@sslcore.hookimpl
def sslcore_encoders():
    yield sslcore.Encoder(
        name="tiny-vit",
        summary="A small transformer over the visible patches",
        build="mae_parts:TinyViT",
    )


@sslcore.hookimpl
def sslcore_heads():
    yield sslcore.Head(
        name="tiny-decoder",
        summary="A small transformer that fills in the hidden patches",
        build="mae_parts:PatchDecoder",
    )


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="tiny-masked-mse",
        summary="Mean squared error over the hidden patches",
        reference="He et al. 2022, section 3",
        build="mae_parts:MaskedMSE",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="tiny-mae",
        summary="Fill in hidden patches",
        augmentation="tiny-patch-mask",
        encoder="tiny-vit",
        head="tiny-decoder",
        loss="tiny-masked-mse",
        settings={"optimizer": {"name": "AdamW", "lr": 1e-3}},
    )
