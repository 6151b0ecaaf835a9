"""The decoder: positions of tokens and patches, and the sizes that it accepts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslcore.patches import cut, joined, sines_and_cosines
from sslcore_mae.decoder import PatchDecoder

WIDTH = 12


def _decoder(image_size=8, channels=1, **more):
    torch.manual_seed(0)
    settings = {"patch_size": 2, "width": WIDTH, "depth": 1, "heads": 3, **more}
    return PatchDecoder(10, image_size, channels, **settings).eval()


def _transparent(**more):
    """Return a decoder without blocks, so each patch depends on its own token only."""
    decoder = _decoder(**more)
    decoder.blocks = torch.nn.Identity()
    return decoder


def _mask(views=1, count=3, patches=16, hidden=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(views, count, patches, generator=generator).argsort(-1) < hidden


def _tokens(mask, seed=0):
    kept = int((~mask[0, 0]).sum())
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*mask.shape[:2], 1 + kept, 10, generator=generator)


@given(
    channels=st.integers(1, 3), side=st.integers(1, 4), grid=st.integers(1, 4), lead=st.booleans()
)
@settings(deadline=None, max_examples=20)
def test_joined_patches_are_the_image_again(channels, side, grid, lead):
    size = side * grid
    images = torch.rand(2, 3, channels, size, size) if lead else torch.rand(3, channels, size, size)
    patches = cut(images, side)
    assert patches.shape == (*images.shape[:-3], grid**2, channels * side**2)
    assert torch.equal(joined(patches, channels, side), images)


def test_patches_are_in_rows():
    image = torch.arange(16.0).view(1, 4, 4)
    expected = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert cut(image, 2).tolist() == expected


def test_tokens_are_put_at_their_positions():
    decoder, mask = _transparent(), _mask()
    tokens = _tokens(mask)
    made = cut(decoder(tokens, mask)["reconstructions"], 2)
    places = sines_and_cosines(4, 4, WIDTH)
    for image, hidden in enumerate(mask[0]):
        following = iter(tokens[0, image, 1:])
        for place, is_hidden in enumerate(hidden):
            token = decoder.hidden_token if is_hidden else decoder.embedding(next(following))
            expected = decoder.pixels(decoder.norm(token + places[place]))
            torch.testing.assert_close(made[0, image, place], expected)


def test_a_token_moves_the_patch_at_its_position_and_no_other():
    decoder, mask = _transparent(), _mask()
    tokens = _tokens(mask)
    before = cut(decoder(tokens, mask)["reconstructions"], 2)
    tokens[0, 1, 2] += 1
    after = cut(decoder(tokens, mask)["reconstructions"], 2)
    moved = (after != before).any(-1).nonzero().tolist()
    second = (~mask[0, 1]).nonzero()[1].item()
    assert moved == [[0, 1, second]]


def test_every_token_that_of_the_class_too_reaches_every_hidden_patch():
    decoder, mask = _decoder(), _mask(count=1)
    tokens = _tokens(mask)
    before = cut(decoder(tokens, mask)["reconstructions"], 2)
    for number in range(tokens.shape[2]):
        changed = tokens.clone()
        changed[0, 0, number] += 1
        after = cut(decoder(changed, mask)["reconstructions"], 2)
        assert (after != before).any(-1)[mask].all()


@pytest.mark.parametrize("hidden", [0, 1, 15])
def test_images_are_of_the_size_of_the_views_whatever_is_hidden(hidden):
    mask = _mask(2, 3, hidden=hidden)
    made = _decoder(channels=3)(_tokens(mask), mask)["reconstructions"]
    assert made.shape == (2, 3, 3, 8, 8)


def test_views_are_decoded_each_by_itself():
    decoder, mask = _decoder(), _mask(2)
    tokens = _tokens(mask)
    made = decoder(tokens, mask)["reconstructions"]
    for view in range(2):
        alone = decoder(tokens[view : view + 1], mask[view : view + 1])["reconstructions"]
        torch.testing.assert_close(alone[0], made[view])


def test_under_autocast_to_bfloat16_images_are_nearly_the_same():
    decoder, mask = _decoder(), _mask()
    tokens = _tokens(mask)
    expected = decoder(tokens, mask)["reconstructions"]
    with torch.autocast("cpu", torch.bfloat16):
        found = decoder(tokens.bfloat16(), mask)["reconstructions"]
    assert (found.float() - expected).abs().max() < 0.1


@pytest.mark.parametrize(
    "mask",
    [_mask(patches=15), _mask(patches=4, hidden=3), _mask().float(), _mask()[0]],
    ids=["one patch fewer", "of another patch size", "of another type", "without views"],
)
def test_a_mask_of_another_length_is_refused_in_one_sentence(mask):
    said = r"mask must be \(V, B, 16\) bool.*patch of 2 px.*one patch_size"
    with pytest.raises(ValueError, match=said) as raised:
        _decoder()(torch.zeros(1, 3, 5, 10), mask)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("shape", [(1, 2, 5, 10), (3, 5, 10), (1, 3, 18, 10)])
def test_tokens_that_dont_go_with_the_mask_are_refused(shape):
    with pytest.raises(ValueError, match=r"tokens must be \(1, 3\) by 1 \+ K by F"):
        _decoder()(torch.zeros(shape), _mask())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"patch_size": 3}, "views of 8 px can't be cut into patches of 3 px"),
        ({"heads": 5}, "width: expected a multiple of 4 and of 5 heads, got 12"),
        ({"width": 9}, "width: expected a multiple of 4"),
    ],
)
def test_settings_that_cant_work_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        _decoder(**wrong)
