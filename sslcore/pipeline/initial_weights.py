"""Weights from elsewhere for an encoder: read without running code, and matched by their names."""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from sslcore.errors import UsageError, first_line

Weights = dict[str, Tensor]

#: What `torch.load` raises where a file holds more than weights, or is damaged.
_UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile, ValueError)
#: Names that a message gives, at the most.
_TOLD = 3
#: Below this part of the encoder, a match is a reason for a warning.
_ENOUGH = 0.9


@dataclass(frozen=True)
class Match:
    """The tensors of a file that an encoder takes.

    Attributes:
        weights: by the names of the encoder.
        total: number of tensors that the encoder has.
        prefix: what their names begin with in the file.
        unlike: descriptions of the tensors that have another shape.
        absent: names of the encoder's tensors that the file does not have.
        unused: names of the file's tensors under the prefix that the encoder does not have.
        others: other prefixes under which as many tensors fit.
        summed: names of the tensors that were summed over the colours, for grey images.
    """

    weights: Weights
    total: int
    prefix: str
    unlike: tuple[str, ...]
    absent: tuple[str, ...]
    unused: tuple[str, ...]
    others: tuple[str, ...]
    summed: tuple[str, ...] = ()

    @property
    def enough(self) -> bool:
        """Whether nearly all tensors are from the file, and none has another shape there."""
        return len(self.weights) >= _ENOUGH * self.total and not self.unlike

    def in_words(self, option: str = "--init-from") -> str:
        """Describe the match in a sentence.

        Args:
            option: chooses a part of the names.
        """
        under = f" (names that begin with {self.prefix!r})" if self.prefix else ""
        said = [f"it has {len(self.weights)} of the {self.total} tensors of the encoder{under}"]
        if self.summed:
            said.append(f"summed over red, green and blue, for grey images: {_some(self.summed)}")
        if self.unlike:
            said.append(f"of another shape: {_some(self.unlike)}")
        if self.absent:
            said.append(f"not in it: {_some(self.absent)}")
        if self.unused:
            said.append(f"not used: {_some(self.unused)}")
        if self.others and self.enough:
            said.append(
                f"the names that begin with {_some(self.others)} would fit as well: choose with "
                f"{option}"
            )
        return "; ".join(said)


def read_tensors(path: Path) -> Weights:
    """Return the tensors in a safetensors file or a torch file, nested ones as `outer.inner`.

    No code of the file is run.

    Raises:
        UsageError: the file can't be read, or holds no tensors.
    """
    try:
        found = _read(path)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror or error}") from error
    tensors = dict(_flat(found))
    if not tensors:
        raise UsageError(
            f"{path} holds no tensors by name; write one with torch.save(model.state_dict(), FILE) "
            "or safetensors"
        )
    return tensors


def match(tensors: Mapping[str, Tensor], encoder: nn.Module, part: str = "") -> Match:
    """Find the tensors of an encoder among others, whatever their names begin with.

    The names may begin with anything, such as `module.`, `backbone.` or `state_dict.encoder_q.`,
    in the file and in the encoder. The modules at the top of the encoder may be counted, as in an
    `nn.Sequential` of them. What counts is that most names and shapes fit.

    Args:
        tensors: by name.
        encoder: has the names and shapes that are looked for.
        part: a part of the names, where a file has several encoders; empty for any.

    Raises:
        UsageError: nothing fits.
    """
    own = encoder.state_dict()
    prefixes = [prefix for prefix in _prefixes(tensors) if part in prefix]
    best: tuple[int, str, dict[str, str]] = (0, "", {})
    counts: dict[str, int] = {}
    for naming in _namings(encoder, list(own)):
        for prefix in prefixes:
            fitting = sum(
                (found := tensors.get(prefix + alias)) is not None
                and found.shape == own[name].shape
                for name, alias in naming.items()
            )
            counts[prefix] = max(counts.get(prefix, 0), fitting)
            if fitting > best[0]:
                best = (fitting, prefix, naming)
    count, prefix, naming = best
    if not count:
        raise UsageError(_nothing_fits(tensors, own, part))
    weights, unlike, absent, summed = {}, [], [], []
    for name, alias in naming.items():
        found = tensors.get(prefix + alias)
        if found is None:
            absent.append(name)
        elif _is_in_colour(found, own[name]):
            # The same response to a grey image as to that image in colour.
            weights[name] = found.sum(1, keepdim=True).to(own[name].dtype)
            summed.append(name)
        elif found.shape != own[name].shape:
            unlike.append(f"{name}, {_shape(found)} there and {_shape(own[name])} here")
        else:
            weights[name] = found.to(own[name].dtype)
    known = {prefix + alias for alias in naming.values()}
    unused = [name for name in tensors if name.startswith(prefix) and name not in known]
    others = [other for other, fits in counts.items() if fits == count and other != prefix]
    if not prefix and own.keys() == tensors.keys() == weights.keys():
        # These are the weights of such an encoder, whose blocks may be alike.
        others = []
    return Match(
        weights,
        len(own),
        prefix,
        tuple(unlike),
        tuple(absent),
        tuple(unused),
        tuple(others),
        tuple(summed),
    )


def _is_in_colour(found: Tensor, own: Tensor) -> bool:
    """Whether a tensor is a convolution of colour images, and the own one that of grey images."""
    grey = found.dim() == 4 and found.shape[1] == 3 and own.shape[1:2] == (1,)
    return grey and found.shape[:1] + found.shape[2:] == own.shape[:1] + own.shape[2:]


def differences(weights: Mapping[str, Tensor], module: nn.Module) -> str:
    """Return the names of tensors that a module has not, or in another shape; empty if none."""
    own = module.state_dict()
    found = [name for name in weights if name not in own or weights[name].shape != own[name].shape]
    return _some([*found, *(name for name in own if name not in weights)])


def digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors with their names, whichever file they are in."""
    found = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@torch.no_grad()
def load_into(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a module that has them all; its other tensors stay as they are."""
    own = module.state_dict()
    for name, tensor in weights.items():
        own[name].copy_(tensor)


def _read(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise UsageError(f"{path} is damaged: {first_line(error)}") from error
    try:
        with warnings.catch_warnings():
            # torch tells its own developers what it can't read.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise UsageError(
            f"{path} is no file of weights alone, and sslcore runs no code of a file; where you "
            "trust it, write its weights with torch.save(model.state_dict(), FILE), or as "
            "safetensors"
        ) from error


def _flat(found: object, before: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of nested mappings, each under its names with dots between."""
    if isinstance(found, Tensor) and before:
        yield before, found
    elif isinstance(found, Mapping):
        for name, item in found.items():
            if isinstance(name, str):
                yield from _flat(item, f"{before}.{name}" if before else name)


def _prefixes(names: Mapping[str, object]) -> list[str]:
    """Return what names begin with, up to each of their dots, and the empty text; each once."""
    found = {"": None}
    for name in names:
        place = name.find(".")
        while place >= 0:
            found.setdefault(name[: place + 1], None)
            place = name.find(".", place + 1)
    return list(found)


def _namings(encoder: nn.Module, names: list[str]) -> Iterator[dict[str, str]]:
    """Yield, by the encoder's names, the names that others may have for the same tensors."""
    yield {name: name for name in names}
    yield _counted(encoder, names, "")
    module, shared = encoder, ""
    # A wrapper whose tensors are all in one child: without the name of that child.
    while len({name[len(shared) :].partition(".")[0] for name in names}) == 1:
        child = names[0][len(shared) :].partition(".")[0]
        inner = dict(module.named_children()).get(child)
        if inner is None:
            return
        module, shared = inner, f"{shared}{child}."
        yield {name: name.removeprefix(shared) for name in names}
        yield _counted(module, names, shared)


def _counted(module: nn.Module, names: list[str], shared: str) -> dict[str, str]:
    """Return names with the children of a module counted, as in an `nn.Sequential` of them."""
    places = {child: str(place) for place, (child, _) in enumerate(module.named_children())}
    found = {}
    for name in names:
        child, dot, rest = name.removeprefix(shared).partition(".")
        found[name] = f"{places.get(child, child)}{dot}{rest}"
    return found


def _nothing_fits(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], part: str) -> str:
    where = f" under names with {part!r}" if part else ""
    theirs, ours = (
        _some([f"{name} {_shape(tensor)}" for name, tensor in each.items()])
        for each in (tensors, own)
    )
    return (
        f"none of the {len(tensors)} tensors{where} fits the encoder: there are {theirs}, and the "
        f"encoder has {ours}; choose the encoder that the weights are of (--encoder, "
        "or teacher.encoder for a teacher)"
    )


def _some(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"
