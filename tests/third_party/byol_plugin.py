"""BYOL as somebody else would publish it: an averaged teacher and a predictor."""

import sslcore


@sslcore.hookimpl
def sslcore_heads():
    yield sslcore.Head(
        name="predictor",
        summary="A projection MLP and a prediction MLP on top",
        build="byol_parts:Predictor",
    )


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="byol",
        summary="Distance of predictions to the teacher's projections of the other view",
        reference="Grill et al. 2020, eq. 2",
        build="byol_parts:BYOL",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="byol",
        summary="Predict a teacher's view of the same image",
        augmentation="two-views",
        encoder="small-cnn",
        head="predictor",
        loss="byol",
        teacher=sslcore.Teacher(momentum=0.9, final_momentum=1.0),
        settings={"optimizer": {"name": "Adam", "lr": 1e-3}},
    )
