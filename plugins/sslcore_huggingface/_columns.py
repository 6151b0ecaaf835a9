"""The columns of a data set that hold its images and its labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sslcore.errors import DataError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

#: What a column of labels is called where nothing else tells it apart, in order of preference.
_LABELS = ("label", "labels", "fine_label", "class", "target", "category")
#: What a column of images is called, in order of preference.
_IMAGES = ("image", "img", "images", "jpg", "png", "bytes")
#: The setting that names a column, and the value with which none is taken.
AUTO, NONE = "auto", "none"


@dataclass(frozen=True)
class Columns:
    """The columns that are read.

    Attributes:
        images: the column of images.
        of_struct: whether it is a struct of `bytes` and `path`.
        has_paths: whether the struct has a `path`.
        label: the column of labels, or None.
        classes: names of the classes where the schema has them.
        notes: sentences about columns that were not taken.
    """

    images: str
    of_struct: bool
    has_paths: bool
    label: str | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def columns_of(schema: pa.Schema, images: str, label: str) -> Columns:
    """Return the columns that hold images and labels.

    Args:
        schema: of the files.
        images: name of the column, or "auto".
        label: name of the column, "auto" or "none".

    Raises:
        DataError: a column is missing, or holds no encoded images or no labels.
    """
    features = _features(schema)
    notes = []
    if images == AUTO:
        found = image_columns(schema)
        if not found:
            raise DataError(
                f"no column holds encoded images (a struct of bytes and path, or binary); there "
                f"are {_described(schema)}; --data table.parquet opens tables of paths"
            )
        images = _preferred(found, _IMAGES)
        if len(found) > 1:
            notes.append(_choice("images", images, found))
    _known(schema, "images", images)
    kind = schema.field(images).type
    if not _encoded(kind):
        raise DataError(
            f"data.images: the column {images} holds {kind}, expected encoded images: a struct of "
            "bytes and path, or binary"
        )
    taken, names = _label(schema, features, label, notes)
    members = {member.name for member in kind} if _is_struct(kind) else set()
    return Columns(images, bool(members), "path" in members, taken, names, tuple(notes))


def image_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that hold encoded images, the likeliest ones."""
    features = _features(schema)
    encoded = [field.name for field in schema if _encoded(field.type)]
    declared = [name for name in encoded if _feature_type(features, name) == "Image"]
    structs = [name for name in encoded if _is_struct(schema.field(name).type)]
    return declared or structs or encoded


def _encoded(kind: pa.DataType) -> bool:
    if _is_struct(kind):
        return any(member.name == "bytes" and _is_binary(member.type) for member in kind)
    return _is_binary(kind)


def _is_struct(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(kind))


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Return what the library wrote about each column: its type and the names of its classes."""
    try:
        written = json.loads((schema.metadata or {})[b"huggingface"])
        features = written["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _feature_type(features: dict[str, Any], name: str) -> str:
    feature = features.get(name)
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _label(
    schema: pa.Schema, features: dict[str, Any], label: str, notes: list[str]
) -> tuple[str | None, tuple[str, ...]]:
    if label == NONE:
        return None, ()
    if label == AUTO:
        found = [name for name in schema.names if _names_in(features.get(name))]
        found = found or [name for name in _LABELS if name in schema.names]
        if not found:
            return None, ()
        label = _preferred(found, _LABELS)
        if len(found) > 1:
            notes.append(_choice("label", label, found))
    _known(schema, "label", label)
    return label, _names_in(features.get(label))


def _names_in(feature: object) -> tuple[str, ...]:
    """Return the names of the classes of a column of labels, or of lists of labels."""
    if isinstance(feature, list) and len(feature) == 1:
        return _names_in(feature[0])
    if not isinstance(feature, dict):
        return ()
    names = feature.get("names")
    if feature.get("_type") == "ClassLabel" and isinstance(names, list):
        return tuple(map(str, names))
    return _names_in(feature.get("feature"))


def _preferred(found: list[str], order: tuple[str, ...]) -> str:
    return next((name for name in order if name in found), found[0])


def _choice(setting: str, taken: str, found: list[str]) -> str:
    others = ", ".join(name for name in found if name != taken)
    return f"data.{setting} is the column {taken}; others that fit are {others}"


def _known(schema: pa.Schema, setting: str, name: str) -> None:
    if name not in schema.names:
        raise DataError(
            f"data.{setting}: there is no column {name!r}{nearest(name, schema.names)}; there are "
            f"{_described(schema)}"
        )


def _described(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)
