"""Encoders and data sets: torchvision's, scikit-learn's digits, and folders of images."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore
from sslcore_torchvision.suggestions import for_digits, normalised

_RESNET = "He et al. 2016, Deep residual learning for image recognition, table 1"
_VIT = "Dosovitskiy et al. 2021, An image is worth 16x16 words, section 3.1"
_UCI_DIGITS = "Alpaydin & Kaynak 1998, Optical recognition of handwritten digits, UCI"
_CIFAR = "Krizhevsky 2009, Learning multiple layers of features from tiny images"


@sslcore.hookimpl
def sslcore_encoders() -> Iterator[sslcore.Encoder]:
    yield sslcore.Encoder(
        name="small-cnn",
        summary="Four blocks of 3×3 convolutions, for images of 8 to 32 px; fast on a CPU",
        build="sslcore_torchvision.cnn:SmallCNN",
    )
    yield sslcore.Encoder(
        name="cnn4",
        summary="Four convolutions with max-pooling; the features keep every position",
        build="sslcore_torchvision.cnn:CNN4",
    )
    for depth in (18, 34, 50):
        yield sslcore.Encoder(
            name=f"resnet{depth}",
            summary=f"ResNet-{depth} with a stem for small or large images, pretrained if asked",
            reference=_RESNET,
            build=f"sslcore_torchvision.resnet:ResNet{depth}",
        )
    yield sslcore.Encoder(
        name="vit",
        summary="A small Vision Transformer; it skips hidden patches",
        reference=_VIT,
        build="sslcore_torchvision.vit:VisionTransformer",
    )


@sslcore.hookimpl
def sslcore_datasets() -> Iterator[sslcore.Dataset]:
    yield sslcore.Dataset(
        name="digits",
        summary="1,797 handwritten digits that come with scikit-learn; no download",
        reference=_UCI_DIGITS,
        build="sslcore_torchvision.digits:digits",
        default=True,
        image_size=16,
        preset="quick",
        defaults=for_digits(),
    )
    yield sslcore.Dataset(
        name="moving-digits",
        summary="Clips of the `digits`, which move over the frame and bounce off its sides",
        reference=_UCI_DIGITS,
        build="sslcore_torchvision.digits:moving_digits",
        clips=True,
        preset="quick",
        defaults={
            **normalised((0.104,), (0.239,), frames={"frames": 5}),
            # With plain dot products the length of the features comes to tell positions apart,
            # and what persists in a clip, its digit, is learned less well.
            "loss:cpc": {"normalize": True, "temperature": 0.3},
            "loss:infonce": {"normalize": True, "temperature": 0.3},
            "training": {"epochs": 16, "batch_size": 64},
        },
    )
    yield sslcore.Dataset(
        name="cifar10",
        summary="60,000 colour images of 32 px in 10 classes; one download (170 MB)",
        reference=_CIFAR,
        build="sslcore_torchvision.cifar:cifar10",
        image_size=32,
        defaults=normalised((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    )
    yield sslcore.Dataset(
        name="cifar100",
        summary="60,000 colour images of 32 px in 100 classes; one download (168 MB)",
        reference=_CIFAR,
        build="sslcore_torchvision.cifar:cifar100",
        image_size=32,
        defaults=normalised((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    )
    yield sslcore.Dataset(
        name="stl10",
        summary="100,000 unlabelled and 13,000 labelled images of 96 px; one download (2.6 GB)",
        reference="Coates, Lee & Ng 2011, An analysis of single-layer networks",
        build="sslcore_torchvision.stl10:stl10",
        image_size=96,
        defaults=normalised((0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713)),
    )
    yield sslcore.Dataset(
        name="fashion-mnist",
        summary="70,000 grey images of clothes, 28 px, in 10 classes; one download (31 MB)",
        reference="Xiao, Rasul & Vollgraf 2017, Fashion-MNIST",
        build="sslcore_torchvision.fashion_mnist:fashion_mnist",
        image_size=28,
        defaults=normalised(
            (0.2860,),
            (0.3530,),
            light={"crop_scale": (0.4, 1.0)},
            multi_crop={"crop_scale": (0.4, 1.0), "grayscale": 0.0},
            patch_mask={"crop_scale": (0.4, 1.0)},
            two_views={"crop_scale": (0.4, 1.0), "grayscale": 0.0},
        ),
    )
    yield sslcore.Dataset(
        name="folder",
        summary="A folder of images of any size, with or without class folders",
        build="sslcore_torchvision.folder:folder",
        opens=("/",),
        opens_images="sslcore_torchvision.files:image_files_at",
    )
    yield sslcore.Dataset(
        name="tiles",
        summary="Images in a .npy file, of any number of channels, read from the file",
        build="sslcore_torchvision.tiles:tiles",
        opens=(".npy",),
        example="sslcore_torchvision.tiles:example",
    )
