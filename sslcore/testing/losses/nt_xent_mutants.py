"""Broken NT-Xents, from the equation; each is named after its fault.

They measure the checks, not the losses: a variant that passes shows a gap in the checks.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from sslcore.testing.losses.family import Mutant
from sslcore.testing.losses.nt_xent_faults import (
    OnlyInTraining,
    Remembering,
    blind_copy,
    broadcasting,
    chunked_wrongly,
    concatenating,
    detached,
    dropped_chunk,
    filled,
    filled_in_its_own_type,
    first_view_only,
    function_of,
    hidden_in_place,
    interleaved,
    jittered,
    naive_exponentials,
    nt_xent,
    numerator_and_denominator,
    only_negatives,
    rank_without_offset,
    returns,
    shared,
    similarity_of_inputs,
    subsampled,
    tenth_of_digits,
    weak_in_low_precision,
    with_pieces,
)

CONTROL = Mutant("none", with_pieces())

MUTANTS: tuple[Mutant, ...] = (
    Mutant("no-positive-term", function_of(lambda p, t: numerator_and_denominator(p, t)[1].mean())),
    Mutant(
        "no-negative-term", function_of(lambda p, t: -numerator_and_denominator(p, t)[0].mean())
    ),
    Mutant(
        "the-sample-itself-as-positive",
        with_pieces(mask=lambda s, n: s, labels=lambda n: torch.arange(2 * n)),
    ),
    Mutant("both-views-one-tensor", function_of(lambda p, t: nt_xent(p[:1].expand(2, -1, -1), t))),
    Mutant("self-similarity-as-target", function_of(similarity_of_inputs)),
    Mutant("self-similarity-in-denominator", with_pieces(mask=lambda s, n: s)),
    Mutant(
        "mask-of-half-the-rows",
        with_pieces(
            mask=lambda s, n: s.masked_fill(
                F.pad(torch.eye(n, dtype=torch.bool), (0, n, 0, n)), -torch.inf
            )
        ),
    ),
    Mutant("masked-logit-zero", with_pieces(mask=filled(0.0))),
    Mutant("masked-logit-minus-ten", with_pieces(mask=filled(-10.0))),
    Mutant("temperature-missing", with_pieces(logits=lambda s, t: s)),
    Mutant("temperature-inverted", with_pieces(logits=lambda s, t: s * t)),
    Mutant("temperature-twice", with_pieces(logits=lambda s, t: s / t / t)),
    Mutant("temperature-square-root", with_pieces(logits=lambda s, t: s / t**0.5)),
    Mutant("temperature-fixed", with_pieces(logits=lambda s, t: s / 0.5)),
    Mutant("temperature-times-loss", function_of(lambda p, t: t * nt_xent(p, t))),
    Mutant("temperature-clamped", with_pieces(logits=lambda s, t: s / max(t, 0.1))),
    Mutant("not-normalised", with_pieces(rows=lambda p: p.flatten(0, 1))),
    Mutant(
        "normalised-over-the-batch", with_pieces(rows=lambda p: F.normalize(p, dim=1).flatten(0, 1))
    ),
    Mutant(
        "normalised-by-one-norm",
        with_pieces(rows=lambda p: F.normalize(p, p=1, dim=-1).flatten(0, 1)),
    ),
    Mutant(
        "norm-detached",
        with_pieces(
            rows=lambda p: (p / p.norm(dim=-1, keepdim=True).detach().clamp_min(1e-12)).flatten(
                0, 1
            )
        ),
    ),
    Mutant(
        "norm-with-large-epsilon",
        with_pieces(rows=lambda p: (p / (p.norm(dim=-1, keepdim=True) + 1e-3)).flatten(0, 1)),
    ),
    Mutant(
        "norm-of-one-view-only",
        with_pieces(rows=lambda p: torch.cat([F.normalize(p[0], dim=-1), p[1]])),
    ),
    Mutant(
        "negative-distance-for-similarity",
        with_pieces(logits=lambda s, t: -(2 - 2 * s).clamp_min(0).sqrt() / t),
    ),
    Mutant("sum-for-mean", with_pieces(reduction="sum")),
    Mutant("mean-over-pairs-of-the-sum", function_of(lambda p, t: 2 * nt_xent(p, t))),
    Mutant("positives-left-out-of-denominator", function_of(only_negatives)),
    Mutant("positive-detached", function_of(detached(0))),
    Mutant("denominator-detached", function_of(detached(1))),
    Mutant("one-direction-only", function_of(first_view_only)),
    Mutant(
        "second-view-detached",
        function_of(lambda p, t: nt_xent(torch.stack([p[0], p[1].detach()]), t)),
    ),
    Mutant(
        "negatives-of-the-other-view-only",
        function_of(
            lambda p, t: F.cross_entropy(
                F.normalize(p[0], dim=-1) @ F.normalize(p[1], dim=-1).T / t,
                torch.arange(p.shape[1]),
            )
        ),
    ),
    Mutant(
        "labels-off-by-one", with_pieces(labels=lambda n: (torch.arange(2 * n) + n + 1) % (2 * n))
    ),
    Mutant("labels-interleaved", with_pieces(labels=interleaved)),
    Mutant("sign", function_of(lambda p, t: -nt_xent(p, t))),
    Mutant("naive-exponentials", function_of(naive_exponentials)),
    Mutant("fill-that-half-has-not", function_of(filled_in_its_own_type)),
    Mutant("computed-in-half", function_of(tenth_of_digits)),
    Mutant("last-chunk-dropped", function_of(dropped_chunk(4))),
    Mutant("last-large-chunk-dropped", function_of(dropped_chunk(64))),
    Mutant("rows-subsampled", function_of(subsampled)),
    Mutant("draws-from-the-global-generator", function_of(jittered)),
    Mutant("normalises-in-place", function_of(hidden_in_place)),
    Mutant("equal-rows-taken-for-itself", function_of(blind_copy)),
    Mutant("similarity-clamped", with_pieces(logits=lambda s, t: s.clamp(-0.999, 0.999) / t)),
    Mutant("only-non-negative-similarities", with_pieces(logits=lambda s, t: s.relu() / t)),
    Mutant("divided-by-dimensions", with_pieces(logits=lambda s, t: s / t / s.shape[0] ** 0.5)),
    Mutant("a-constant-added", function_of(lambda p, t: nt_xent(p, t) + 0.01)),
    Mutant(
        "norm-penalty-added", function_of(lambda p, t: nt_xent(p, t) + 1e-3 * p.square().mean())
    ),
    Mutant(
        "gradient-halved",
        function_of(lambda p, t: 0.5 * nt_xent(p, t) + 0.5 * nt_xent(p, t).detach()),
    ),
    Mutant("gradient-lost-in-low-precision", function_of(weak_in_low_precision)),
    Mutant("returns-float32", returns(lambda loss: loss.float())),
    Mutant("returns-a-number", returns(lambda loss: loss.item())),
    Mutant("returns-a-vector", returns(lambda loss: loss[None])),
    Mutant("hides-what-is-not-a-number", returns(lambda loss: loss.nan_to_num())),
    Mutant("returns-detached", returns(lambda loss: loss.detach())),
    Mutant(
        "returns-not-a-number-at-zero-rows",
        with_pieces(rows=lambda p: (p / p.norm(dim=-1, keepdim=True)).flatten(0, 1)),
    ),
    Mutant("remembers-the-first-batch", make=Remembering),
    Mutant("other-in-eval-mode", make=OnlyInTraining),
    Mutant("shared-object", make=shared),
    Mutant("takes-no-temperature", make=lambda: lambda *, projections: nt_xent(projections, 0.5)),
    Mutant("chunks-averaged-unweighted", make=chunked_wrongly, needs="chunks-agree"),
    Mutant("rank-offset-missing", make=rank_without_offset, needs="ranks-agree"),
    Mutant("malformed-shapes-taken", with_pieces(), checks_shapes=False),
    Mutant("broadcasts", plain=broadcasting),
    Mutant("concatenates-unequal-batches", plain=concatenating),
)
