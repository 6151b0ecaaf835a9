"""The loss of I-JEPA: predicted tokens against a teacher's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LatentPrediction(nn.Module):
    """Smooth L1 distance of predicted tokens from a teacher's tokens of the whole view (I-JEPA).

    Assran et al. 2023, equation (1), with the distance of the authors' code: of tokens y of the
    teacher, each normalised to mean 0 and variance 1 over its entries, and predictions x,

        L = mean of d(x − y), d(r) = r²/2 where |r| < 1, else |r| − 1/2,

    over all entries of all patches of all blocks. The paper writes the sum of squares over the
    entries of a token. No gradient reaches the teacher.

    Raises:
        ValueError: (when called) the shapes don't go together, or there are no entries.
    """

    def forward(
        self, target_predictions: Tensor, teacher_tokens: Tensor, target_positions: Tensor
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            target_predictions: (V, B, M, P, F).
            teacher_tokens: (V, B, 1 + L, F), the class token and those of all patches.
            target_positions: (V, B, M, P) int64, where the predicted patches are among the L.
        """
        _check(target_predictions, teacher_tokens, target_positions)
        kept = torch.promote_types(target_predictions.dtype, teacher_tokens.dtype)
        exact = torch.promote_types(kept, torch.float32)
        tokens = teacher_tokens.detach()[:, :, 1:].to(exact)
        wanted = F.layer_norm(tokens, tokens.shape[-1:])
        places = target_positions.flatten(2)[..., None].expand(-1, -1, -1, wanted.shape[-1])
        wanted = wanted.gather(2, places).unflatten(2, target_positions.shape[2:])
        return F.smooth_l1_loss(target_predictions.to(exact), wanted).to(kept)


def _check(predictions: Tensor, tokens: Tensor, positions: Tensor) -> None:
    shape = tuple(predictions.shape)
    if len(shape) != 5 or not predictions.numel() or tuple(positions.shape) != shape[:4]:
        raise ValueError(
            "target_predictions must be (V, B, M, P, F), and target_positions (V, B, M, P), got "
            f"shapes {shape} and {tuple(positions.shape)}"
        )
    if tokens.dim() != 4 or tuple(tokens.shape[:2]) != shape[:2] or tokens.shape[3] != shape[4]:
        raise ValueError(
            f"teacher_tokens must be {shape[:2]} by 1 + L by {shape[4]}, tokens of all patches, "
            f"got shape {tuple(tokens.shape)}; the teacher must see the whole view"
        )
    if not (predictions.is_floating_point() and tokens.is_floating_point()):
        raise ValueError(
            "target_predictions and teacher_tokens must be float, got "
            f"{predictions.dtype} and {tokens.dtype}"
        )
