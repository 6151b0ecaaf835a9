"""The autoregressive head: its dependence on views, and its errors."""

from __future__ import annotations

import pytest
import torch

from sslcore_cpc.head import Autoregressive


def head_and_features(views: int = 5, steps: int = 3) -> tuple[Autoregressive, torch.Tensor]:
    torch.manual_seed(0)
    head = Autoregressive(feature_dim=6, num_views=views, context=7, steps=steps)
    return head, torch.randn(views, 4, 6, requires_grad=True)


def test_predictions_have_a_row_for_each_step_and_view():
    head, features = head_and_features()
    assert head(features)["step_predictions"].shape == (3, 5, 4, 6)


def test_predictions_depend_on_views_up_to_their_own_and_on_no_later_one():
    head, features = head_and_features()
    predictions = head(features)["step_predictions"]
    for step in range(3):
        for view in range(5):
            (gradient,) = torch.autograd.grad(
                predictions[step, view].square().sum(), features, retain_graph=True
            )
            assert (gradient[view + 1 :] == 0).all()
            assert (gradient[: view + 1] != 0).any(-1).all()


def test_predictions_of_an_image_depend_on_that_image_alone():
    head, features = head_and_features()
    predictions = head(features)["step_predictions"]
    (gradient,) = torch.autograd.grad(predictions[:, :, 1].square().sum(), features)
    assert (gradient[:, 1] != 0).any()
    assert (gradient[:, [0, 2, 3]] == 0).all()


def test_every_step_has_a_matrix_of_its_own_on_a_common_context():
    head, features = head_and_features()
    contexts, _ = head.context(features)
    matrices = head.predictors.weight.view(3, 6, 7)
    for step, predicted in enumerate(head(features)["step_predictions"]):
        torch.testing.assert_close(predicted, contexts @ matrices[step].T)


def test_gradient_reaches_every_parameter():
    head, features = head_and_features()
    total = head(features)["step_predictions"].square().sum()
    assert all(found.any() for found in torch.autograd.grad(total, list(head.parameters())))


@pytest.mark.parametrize(("views", "steps"), [(3, 3), (1, 1), (2, 5)])
def test_steps_that_reach_past_the_last_view_are_refused(views, steps):
    with pytest.raises(ValueError, match=f"needs {steps + 1} views, and there are {views}"):
        Autoregressive(feature_dim=6, num_views=views, steps=steps)


def test_as_many_steps_as_there_are_later_views_are_allowed():
    head, features = head_and_features(views=4, steps=3)
    assert head(features)["step_predictions"].shape == (3, 4, 4, 6)
