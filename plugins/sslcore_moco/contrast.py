"""What the losses of MoCo share: unit queries and keys, and what is no query and key at all."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcore.functional import unit_rows


def unit_queries_and_keys(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return (2, B, D) each at unit length, in float32 or the wider of their types.

    No gradient reaches the keys, and a zero row stays zero.
    """
    kind = torch.promote_types(torch.promote_types(queries.dtype, keys.dtype), torch.float32)
    return unit_rows(queries.to(kind)), unit_rows(keys.detach().to(kind))


def check_views(queries: Tensor, keys: Tensor, name: str, count: int) -> None:
    """Refuse what are not views of each image, made once by a student and once by a teacher.

    Args:
        queries: what should be float (V, B, D) with B ≥ 1.
        keys: what should be `teacher_projections` of that shape.
        name: the signal that the queries are.
        count: V.

    Raises:
        ValueError: they are something else.
    """
    shape = tuple(queries.shape)
    if len(shape) != 3 or shape[0] != count or queries.shape != keys.shape or 0 in shape:
        raise ValueError(
            f"{name} and teacher_projections must be of one shape ({count}, B, D), for {count} "
            f"views of B images, got {shape} and {tuple(keys.shape)}"
        )
    if not (queries.is_floating_point() and keys.is_floating_point()):
        raise ValueError(
            f"{name} and teacher_projections must be float, got {queries.dtype} and {keys.dtype}"
        )


def check_view_count(num_views: int, *counts: int) -> None:
    """Refuse augmentations that make more views, or fewer, than a query and a key.

    Raises:
        ValueError: there are not as many as one of the counts.
    """
    if num_views not in counts:
        raise ValueError(
            f"a query is compared with one key, so MoCo takes {_listed(counts)} views of an image, "
            f"and the augmentation makes {num_views}"
        )


def _listed(counts: tuple[int, ...]) -> str:
    return " or ".join(str(count) for count in counts)
