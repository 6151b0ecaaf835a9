"""MoCo as somebody else would publish it: a queue that lives in the loss."""

import sslcore


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="queue-nce",
        summary="Cross-entropy of a query against its key and a queue of older keys",
        reference="He et al. 2020, eq. 1",
        build="moco_parts:QueueNCE",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="moco",
        summary="Tell an image's key from a queue of keys",
        augmentation="two-views",
        encoder="small-cnn",
        head="projection",
        loss="queue-nce",
        teacher=sslcore.Teacher(momentum=0.99),
        settings={"optimizer": {"name": "SGD", "lr": 0.05, "momentum": 0.9}},
    )
