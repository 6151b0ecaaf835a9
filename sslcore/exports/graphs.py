"""The network as a graph: ONNX and TorchScript, each checked before it counts as written."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import torch
from torch import Tensor, nn

from sslcore.errors import SslcoreError, UsageError, first_line
from sslcore.exports.exported import Exported
from sslcore.exports.tensors import description
from sslcore.recipe.toml import plain
from sslcore.system.files import replacing, to_json

#: How far the outputs of a graph may be from those of the network, relative to the largest.
TOLERANCE = 1e-4
#: The sizes of the batches that are compared, and that of the batch that is traced.
_BATCHES, _TRACED = (1, 3), 2


def write_onnx(exported: Exported, path: Path, preprocessing: bool) -> str:
    """Write an ONNX graph with a batch of any size, after ONNX Runtime has checked it.

    Its input is `images`, float32 (B, C, S, S), in [0, 1] with the preprocessing inside; its
    output is `features` (B, F) or `logits` (B, K).

    Raises:
        UsageError: the libraries for it are missing.
        SslcoreError: the network can't be written, or the graph computes something else.
    """
    for library in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(library) is None:
            raise UsageError(f"--format onnx needs {library}: pip install 'sslcore[onnx]'")
    network, example = _traced(exported, preprocessing)
    with replacing(path) as temporary:
        try:
            with _silence():
                _save_onnx(exported, network, example, temporary)
                computed = _onnx_runtime(temporary)
        except OSError:
            raise
        except Exception as error:
            raise SslcoreError(
                f"the network can't be written as ONNX: {first_line(error)}"
            ) from error
        _compare(computed, network, exported, preprocessing, "the ONNX graph")
    return f'onnxruntime.InferenceSession("{path}")'


def _save_onnx(exported: Exported, network: nn.Module, example: Tensor, path: Path) -> None:
    batch = {0: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        input_names=["images"],
        output_names=[exported.output],
        dynamic_shapes={"images": batch},
        verbose=False,
    )
    assert program is not None
    for key, value in plain(description(exported)).items():
        program.model.metadata_props[key] = value if isinstance(value, str) else to_json(value)
    program.save(str(path), external_data=False)


def _onnx_runtime(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])

    def compute(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])

    return compute


def write_torchscript(exported: Exported, path: Path, preprocessing: bool) -> str:
    """Write a TorchScript module with a batch of any size, after it has been loaded and checked.

    Its input and its output are those of `write_onnx`.

    Raises:
        SslcoreError: the network can't be traced, or the module computes something else.
    """
    network, example = _traced(exported, preprocessing)
    with replacing(path) as temporary:
        try:
            with _silence(), torch.no_grad():
                module = torch.jit.trace(network, example, check_trace=False)
                extra = {"about.json": to_json(plain(description(exported)))}
                torch.jit.save(module, str(temporary), _extra_files=extra)
                loaded = torch.jit.load(str(temporary))
        except OSError:
            raise
        except Exception as error:
            raise SslcoreError(
                f"torch {torch.__version__} can't write the network as TorchScript: "
                f"{first_line(error)}; try --format onnx"
            ) from error
        _compare(loaded, network, exported, preprocessing, "the TorchScript module")
    return f'torch.jit.load("{path}")'


def _traced(exported: Exported, preprocessing: bool) -> tuple[nn.Module, Tensor]:
    network = exported.network(preprocessing=preprocessing)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network, _inputs(exported, _TRACED, preprocessing)


@torch.no_grad()
def _inputs(exported: Exported, count: int, preprocessing: bool) -> Tensor:
    """Return random images, or the views of them."""
    images = exported.images(count)
    if preprocessing:
        return images
    views: Tensor = exported.extractor.augmentation(images)["views"]
    if len(views) != 1:
        raise UsageError(
            f"the encoder gets {len(views)} views of each image, so that the preprocessing can't "
            "be left out; leave out --no-preprocessing"
        )
    return views[0].contiguous()


@torch.no_grad()
def _compare(
    computed: Callable[[Tensor], Tensor],
    network: nn.Module,
    exported: Exported,
    preprocessing: bool,
    what: str,
) -> None:
    for count in _BATCHES:
        inputs = _inputs(exported, count, preprocessing)
        expected, found = network(inputs), computed(inputs)
        if found.shape != expected.shape:
            told = f"gives {tuple(found.shape)} in place of {tuple(expected.shape)}"
        elif (off := float((found - expected).abs().max() / expected.abs().max().clamp_min(1))) > (
            TOLERANCE
        ):
            told = f"differs by {off:.2g} of the largest value"
        else:
            continue
        raise SslcoreError(
            f"{what} does not compute what the network does (it {told} on a batch of {count}), so "
            "it was not written"
        )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what exporters print and log off the screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
