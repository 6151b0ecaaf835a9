"""The properties of any loss, in the order in which they are checked."""

from __future__ import annotations

from sslcore.testing.losses import answers, extreme_inputs, side_effects
from sslcore.testing.losses.spec import DTYPE
from sslcore.testing.property import Property

GENERIC: tuple[Property, ...] = (
    answers.make_gives_a_new_loss,
    answers.returns_a_scalar_with_graph,
    answers.gradient_reaches_each_input_alone,
    answers.gradient_follows_what_comes_after,
    answers.stops_gradient,
    *(answers.keeps_dtype(dtype) for dtype in DTYPE),
    side_effects.leaves_inputs_alone,
    side_effects.repeatable,
    side_effects.remembers_nothing,
    side_effects.layout_does_not_matter,
    side_effects.same_in_every_mode,
    extreme_inputs.refuses_malformed_shapes,
    answers.gradient_matches_finite_differences,
    *(extreme_inputs.finite_value_in(dtype) for dtype in DTYPE),
    *(extreme_inputs.finite_gradient_in(dtype) for dtype in DTYPE),
    extreme_inputs.not_a_number_shows,
    extreme_inputs.single_sample,
)
