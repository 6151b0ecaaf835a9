"""The Vision Transformer: equality with torchvision's, and no effect of hidden patches."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from sslcore.patches import sines_and_cosines
from sslcore.pipeline.pipeline import encode
from sslcore_torchvision.vit import VisionTransformer

SMALL = {"patch_size": 4, "width": 24, "depth": 2, "heads": 3}


def _small(image_size=16, channels=1, **more):
    torch.manual_seed(0)
    return VisionTransformer(image_size, channels, **{**SMALL, **more}).eval()


def _views(count=3, channels=1, height=16, width=16):
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(1))


def _mask(count=3, patches=16, hidden=12, seed=0):
    ranks = torch.rand(count, patches, generator=torch.Generator().manual_seed(seed)).argsort(1)
    return ranks < hidden


def _visible(mask):
    return torch.stack([(~row).nonzero().flatten() for row in mask])


def _pixels(mask, side=4, grid=4):
    """Return which pixels (N, 1, h, w) a mask hides."""
    cells = mask.view(-1, grid, grid)
    return cells.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, None]


def test_features_are_those_of_torchvisions_with_the_same_weights():
    encoder = _small(32, 3, patch_size=8)
    network = torchvision.models.VisionTransformer(32, 8, 2, 3, 24, 96)
    network.heads = torch.nn.Identity()
    positions = torch.cat((torch.zeros(1, 24), sines_and_cosines(4, 4, 24)))
    blocks = {
        name.replace("blocks.", "encoder.layers.encoder_layer_"): item
        for name, item in encoder.state_dict().items()
        if name.startswith("blocks.")
    }
    network.load_state_dict(
        {
            "class_token": encoder.class_token,
            "conv_proj.weight": encoder.embedding.weight.view(24, 3, 8, 8),
            "conv_proj.bias": encoder.embedding.bias,
            "encoder.pos_embedding": positions[None],
            "encoder.ln.weight": encoder.norm.weight,
            "encoder.ln.bias": encoder.norm.bias,
            **blocks,
        }
    )
    views = _views(2, 3, 32, 32)
    torch.testing.assert_close(encoder(views)["features"], network.eval()(views))


def test_positions_are_sines_and_cosines_of_column_and_row():
    found = sines_and_cosines(2, 3, 8)
    for row in range(2):
        for column in range(3):
            expected = [
                function(place / 100 ** (step / 2))
                for place in (column, row)
                for function in (math.sin, math.cos)
                for step in range(2)
            ]
            torch.testing.assert_close(found[row * 3 + column], torch.tensor(expected))


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), quarter=st.integers(1, 6))
@settings(deadline=None, max_examples=20)
def test_no_two_patches_stand_at_the_same_place(rows, columns, quarter):
    positions = sines_and_cosines(rows, columns, 4 * quarter)
    assert positions.shape == (rows * columns, 4 * quarter)
    distances = torch.cdist(positions, positions) + torch.eye(len(positions))
    assert distances.min() > 0.1


def test_features_are_the_token_of_the_class_or_the_mean_of_the_others():
    for pooling in ("class", "mean"):
        out = _small(pooling=pooling)(_views())
        assert out["tokens"].shape == (3, 17, 24)
        tokens = out["tokens"][:, 0] if pooling == "class" else out["tokens"][:, 1:].mean(1)
        torch.testing.assert_close(out["features"], tokens)


def test_feature_maps_are_the_tokens_of_the_patches_in_their_places():
    out = _small()(_views(2, 1, 8, 16))
    assert out["feature_maps"].shape == (2, 24, 2, 4)
    for row in range(2):
        for column in range(4):
            patch = out["tokens"][:, 1 + row * 4 + column]
            assert torch.equal(out["feature_maps"][..., row, column], patch)


@pytest.mark.parametrize("given_as", ["mask", "visible", "both"])
def test_what_a_hidden_patch_shows_changes_nothing(given_as):
    encoder, views, mask = _small(), _views(), _mask()
    signals = {"mask": mask, "visible": _visible(mask)}
    if given_as != "both":
        signals = {given_as: signals[given_as]}
    before = encoder(views, **signals)
    # If hidden patches were used, a single NaN would reach all outputs.
    hidden = encoder(views.masked_fill(_pixels(mask), torch.nan), **signals)
    for name, item in before.items():
        assert torch.equal(hidden[name], item)


def test_what_each_visible_patch_shows_changes_the_features():
    encoder, views, mask = _small(), _views(1), _mask(1)
    before = encoder(views, mask)["features"]
    for position in _visible(mask)[0]:
        shown = torch.zeros(1, 16, dtype=torch.bool)
        shown[0, position] = True
        after = encoder(torch.where(_pixels(shown), 1 - views, views), mask)["features"]
        assert (after - before).abs().max() > 1e-4


@given(hidden=st.integers(0, 15))
@settings(deadline=None, max_examples=8)
def test_hidden_patches_cost_nothing(hidden):
    encoder = _small()
    seen = []
    for block in encoder.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    tokens = encoder(_views(), _mask(hidden=hidden))["tokens"]
    assert seen == [1 + 16 - hidden] * 2
    assert tokens.shape[1] == 1 + 16 - hidden


def test_a_mask_says_the_same_as_the_positions_that_are_visible():
    encoder, views, mask = _small(), _views(), _mask()
    by_mask, by_position = encoder(views, mask), encoder(views, visible=_visible(mask))
    assert by_mask.keys() == by_position.keys() == {"features", "tokens"}
    for name, item in by_mask.items():
        assert torch.equal(by_position[name], item)


def test_with_nothing_hidden_tokens_are_those_of_whole_views():
    encoder, views = _small(), _views()
    whole = encoder(views)
    for signals in ({"mask": _mask(hidden=0)}, {"visible": torch.arange(16).expand(3, -1)}):
        torch.testing.assert_close(encoder(views, **signals)["tokens"], whole["tokens"])


def test_tokens_are_in_the_order_of_their_positions():
    encoder = _small(depth=1)
    # With identity blocks, each token depends on its own patch only.
    encoder.blocks = torch.nn.Identity()
    views, mask = _views(), _mask()
    whole, part = encoder(views)["tokens"], encoder(views, mask)["tokens"]
    for row, positions in enumerate(_visible(mask)):
        torch.testing.assert_close(part[row, 1:], whole[row, 1 + positions])
        assert torch.equal(part[row, 0], whole[row, 0])


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 8), (24, 24), (32, 32), (8, 16)])
def test_views_of_other_sizes_are_encoded_with_the_same_weights(height, width):
    encoder = _small()
    out = encoder(_views(2, 1, height, width))
    assert out["features"].shape == (2, 24)
    assert out["feature_maps"].shape == (2, 24, height // 4, width // 4)
    made_for_them = _small(max(height, width))(_views(2, 1, height, width))
    assert torch.equal(out["features"], made_for_them["features"])


def test_an_encoder_made_for_another_size_has_the_same_weights():
    small, large = _small(16).state_dict(), _small(32).state_dict()
    assert all(torch.equal(large[name], item) for name, item in small.items())


@pytest.mark.parametrize(("size", "side"), [(4, 2), (16, 2), (28, 4), (64, 4), (80, 16), (224, 16)])
def test_patches_are_of_2_px_up_to_views_of_16_of_4_up_to_64_and_of_16_beyond(size, side):
    assert VisionTransformer(size, 3, width=24, depth=1).patch_size == side


def test_a_size_that_patches_dont_fill_is_refused_with_those_that_do():
    with pytest.raises(
        ValueError, match=r"views of 30 px can't be cut into patches of 4 px; .* 1, 2, 3, 5, 6, 10"
    ):
        VisionTransformer(30, 1)


def test_heads_and_width_that_dont_go_together_are_refused():
    with pytest.raises(ValueError, match=r"heads: 5 don't share a width of 24.* 1, 2, 3, 4, 6, 8"):
        _small(heads=5)
    with pytest.raises(ValueError, match="multiple of 4, got 30"):
        _small(width=30)


def test_views_that_dont_fit_are_refused():
    with pytest.raises(ValueError, match="18 × 16 px are not filled by patches of 4 px"):
        _small()(_views(2, 1, 18, 16))
    with pytest.raises(ValueError, match=r"views must be \(N, 1, h, w\)"):
        _small()(_views(2, 3))


@pytest.mark.parametrize(
    "mask",
    [
        torch.zeros(3, 15, dtype=torch.bool),
        torch.zeros(3, 64, dtype=torch.bool),
        torch.zeros(2, 16, dtype=torch.bool),
        torch.zeros(3, 16),
    ],
    ids=["one patch fewer", "of another patch size", "of other views", "of another type"],
)
@pytest.mark.parametrize("visible", [None, torch.zeros(3, 2, dtype=torch.int64)])
def test_a_mask_of_another_length_is_refused_in_one_sentence(mask, visible):
    with pytest.raises(ValueError, match=r"mask must be bool of shape \(3, 16\)") as raised:
        _small()(_views(), mask, visible)
    assert "\n" not in str(raised.value)


def test_masks_that_hide_all_or_unequally_many_are_refused():
    unequal = _mask()
    unequal[0] = _mask(1, hidden=11)
    with pytest.raises(ValueError, match="from 4 to 5 patches"):
        _small()(_views(), unequal)
    with pytest.raises(ValueError, match="from 0 to 0 patches"):
        _small()(_views(), _mask(hidden=16))
    with pytest.raises(ValueError, match=r"visible must be \(3, K\)"):
        _small()(_views(), visible=torch.zeros(2, 4, dtype=torch.int64))


def test_autocast_to_bfloat16_gives_nearly_the_same_features():
    encoder, views, mask = _small(), _views(), _mask()
    expected = encoder(views, mask)["features"]
    with torch.autocast("cpu", torch.bfloat16):
        found = encoder(views, mask)["features"]
    assert (found.float() - expected).abs().max() < 0.1


def test_the_engine_hands_mask_and_positions_on():
    mask = _mask(6).view(2, 3, 16)
    views = _views(6).view(2, 3, 1, 16, 16)
    signals = {"views": views, "mask": mask, "visible": _visible(mask.flatten(0, 1)).view(2, 3, 4)}
    made = encode(_small(), signals)
    assert made["tokens"].shape == (2, 3, 5, 24)
    alone = _small()(views[1], mask[1])
    torch.testing.assert_close(made["features"][1], alone["features"])


def test_weights_start_as_xavier_says_and_those_of_patches_keep_the_pixels_variance():
    encoder = VisionTransformer(16, 1)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Linear):
            assert not module.bias.any()
            if module is encoder.embedding:
                continue
            bound = math.sqrt(6 / (module.in_features + module.out_features))
            assert module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    pixels = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    assert encoder.embedding(pixels).std().item() == pytest.approx(1, rel=0.1)
    assert 0 < encoder.class_token.abs().max() < 0.2
