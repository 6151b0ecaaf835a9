"""Optimizers, and schedules for the numbers that change during training."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

#: Those of torch.optim, by name: what they are, and whether they have a fused form.
_OF_TORCH = {
    "adadelta": ("Adadelta: steps by the ratio of running averages", False),
    "adafactor": ("Adafactor: AdamW with factored second moments, in little memory", False),
    "adagrad": ("Adagrad: steps divided by the root of all squared gradients", False),
    "adam": ("Adam: steps by running moments of the gradient", True),
    "adamax": ("Adamax: Adam with the largest recent gradient", False),
    "adamw": ("AdamW: Adam with weight decay apart from the gradient", True),
    "asgd": ("ASGD: stochastic gradient descent that averages its weights", False),
    "nadam": ("NAdam: Adam with Nesterov momentum", False),
    "radam": ("RAdam: Adam whose first steps are corrected for their variance", False),
    "rmsprop": ("RMSprop: steps divided by the root of recent squared gradients", False),
    "rprop": ("Rprop: steps that grow while the sign of the gradient stays", False),
    "sgd": ("SGD: stochastic gradient descent, with momentum if set", True),
}


@sslcore.hookimpl
def sslcore_optimizers() -> Iterator[sslcore.Optimizer]:
    """Yield the optimizers of this plugin."""
    for name, (summary, fused) in _OF_TORCH.items():
        yield sslcore.Optimizer(
            name=name,
            summary=summary,
            build=f"sslcore_optimizers.of_torch:{name}",
            fused=fused,
            default=name == "adamw",
        )
    yield sslcore.Optimizer(
        name="lars",
        summary="LARS: SGD whose rate in each layer follows the norm of its weights",
        reference="You, Gitman & Ginsburg 2017, Large Batch Training of Convolutional Networks",
        build="sslcore_optimizers.lars:LARS",
    )
    yield sslcore.Optimizer(
        name="muon",
        summary="Muon for the matrices of hidden layers, AdamW for all other parameters",
        reference="Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks",
        build="sslcore_optimizers.muon:Muon",
    )
    yield sslcore.Optimizer(
        name="schedule-free-sgd",
        summary="SGD that averages its weights in place of a schedule",
        reference="Defazio et al. 2024, The Road Less Scheduled",
        build="sslcore_optimizers.schedule_free:sgd",
    )
    yield sslcore.Optimizer(
        name="schedule-free-adamw",
        summary="AdamW that averages its weights in place of a schedule",
        reference="Defazio et al. 2024, The Road Less Scheduled",
        build="sslcore_optimizers.schedule_free:adamw",
    )


@sslcore.hookimpl
def sslcore_schedules() -> Iterator[sslcore.Schedule]:
    """Yield the schedules of this plugin."""
    yield sslcore.Schedule(
        name="cosine",
        summary="Half a cosine: slow at both ends",
        reference="Loshchilov & Hutter 2017, SGDR, equation (5), without restarts",
        build="sslcore_optimizers.schedules:cosine",
        default=True,
    )
    yield sslcore.Schedule(
        name="constant",
        summary="The first value, to the end",
        build="sslcore_optimizers.schedules:constant",
    )
    yield sslcore.Schedule(
        name="linear",
        summary="A straight line",
        build="sslcore_optimizers.schedules:linear",
    )
    yield sslcore.Schedule(
        name="step",
        summary="A factor at each milestone",
        reference="He et al. 2016, Deep Residual Learning for Image Recognition, section 3.4",
        build="sslcore_optimizers.schedules:step_decay",
    )
