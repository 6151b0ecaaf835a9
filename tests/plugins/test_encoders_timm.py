"""timm's backbones: equality with timm's, outputs, and errors before a download."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from sslcore.contract.interface import interface_of
from sslcore_timm.encoder import Timm

timm = pytest.importorskip("timm", reason="timm is an extra: pip install 'sslcore[timm]'")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Return empty caches, without access to the network."""
    caches = tmp_path / "caches"
    caches.mkdir()
    for name in ("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(caches))
    for name in ("https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return caches


class Inattentive(torch.nn.Module):
    def forward(self, tokens, **masks):
        return torch.zeros_like(tokens)


def made(*arguments, **settings):
    torch.manual_seed(0)
    return Timm(*arguments, **settings).eval()


@pytest.mark.parametrize("model", ["test_resnet", "test_vit", "test_mambaout", "test_efficientnet"])
def test_features_are_what_timm_gives_without_a_classifier(model):
    encoder = made(32, 3, model=model)
    alone = timm.create_model(model, num_classes=0, **({"img_size": 32} if "vit" in model else {}))
    alone.load_state_dict(encoder.backbone.state_dict())
    views = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(encoder(views)["features"], alone.eval()(views))


@pytest.mark.parametrize(
    ("model", "size", "width", "side"),
    [
        ("test_resnet", 64, 96, 2),  # maps as they are
        ("test_mambaout", 64, 64, 2),  # channels last
        ("test_vit", 64, 64, 4),  # a class token before the patches
    ],
)
def test_maps_have_their_channels_first_and_a_row_for_each_view(model, size, width, side):
    made_of = made(size, 1, model=model)(torch.rand(3, 1, size, size))
    assert made_of["feature_maps"].shape == (3, width, side, side)


def test_the_means_of_a_residual_networks_maps_are_its_features():
    found = made(64, 3, model="test_resnet")(torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(found["features"], found["feature_maps"].mean((-2, -1)))


def test_maps_of_tokens_keep_their_places():
    # Without attention to other patches, a changed patch changes one position.
    encoder = made(64, 1, model="test_vit")
    for block in encoder.backbone.blocks:
        block.attn = Inattentive()
    flat = torch.zeros(1, 1, 64, 64)
    lit = flat.clone()
    lit[..., 16:32, 48:64] = 1
    with torch.no_grad():
        change = (encoder(lit)["feature_maps"] - encoder(flat)["feature_maps"]).abs().sum(1)[0]
    assert change.nonzero().tolist() == [[1, 3]]


def test_maps_kept_channels_last_keep_their_places():
    encoder = made(64, 1, model="test_mambaout")
    views = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        last = encoder.backbone.forward_features(views)
        maps = encoder(views)["feature_maps"]
    assert torch.equal(maps[:, 5, 0, 1], last[:, 0, 1, 5])


def test_a_backbone_without_a_grid_gives_features_alone(monkeypatch):
    encoder = made(32, 1, model="test_vit")
    views = torch.rand(2, 1, 32, 32)
    # One token more than the backbone states, so the roles of the tokens are unknown.
    monkeypatch.setattr(encoder.backbone, "num_prefix_tokens", 0)
    assert set(encoder(views)) == {"features"}


def test_maps_are_declared_as_what_may_be_missing():
    assert interface_of(Timm).provides == {"features": True, "feature_maps": False}


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("model", ["test_resnet", "test_vit"])
def test_any_number_of_channels_works(model, channels):
    out = made(16, channels, model=model)(torch.rand(2, channels, 16, 16))
    assert out["features"].shape[0] == 2


def test_a_backbone_for_one_size_is_made_for_that_of_the_views():
    encoder = made(48, 3, model="test_vit")
    assert encoder.backbone.patch_embed.grid_size == (3, 3)


def test_the_default_is_a_residual_network_in_training_mode():
    encoder = Timm(32, 1)
    assert encoder.training
    assert encoder.backbone.training
    assert encoder(torch.rand(2, 1, 32, 32))["features"].shape == (2, 2048)


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        ("resnet26dd", 32, r"has no model 'resnet26dd'; nearest: resnet26d"),
        ("test_resnet.never_was", 32, r"test_resnet.never_was can't be made"),
        ("test_convnext", 16, r"test_convnext can't take views of 16 px .*Kernel size.*larger"),
        ("hf-hub:timm/test_resnet.r160_in1k", 32, r"set pretrained to true"),
        ("hf_hub:timm/test_resnet.r160_in1k", 32, r"set pretrained to true"),
        ("local-dir:/tmp", 32, r"no other place is looked into"),
        ("local-dir:models", 32, r"no other place is looked into"),
        ("timm/test_resnet", 32, r"no other place is looked into"),
        ("https://example.org/x.pth", 32, r"no other place is looked into"),
        ("../test_resnet", 32, r"no other place is looked into"),
        ("", 32, r"has no model ''"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_why(model, size, message, nowhere):
    with pytest.raises(ValueError, match=message) as caught:
        Timm(size, 3, model=model)
    assert "\n" not in str(caught.value)
    assert not any(nowhere.iterdir())


@pytest.mark.parametrize("model", ["test_resnet", "hf-hub:timm/test_resnet.r160_in1k"])
def test_weights_that_cannot_be_fetched_say_so(model, nowhere):
    with pytest.raises(ValueError, match=r"can't be had pretrained .*set pretrained to false"):
        Timm(32, 3, model=model, pretrained=True)


def test_weights_that_would_run_code_are_refused(tmp_path, monkeypatch):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"payload": Payload()}, tmp_path / "weights.pth")

    def unsafe(*arguments, **settings):
        return torch.load(tmp_path / "weights.pth", weights_only=False)

    monkeypatch.setattr(timm, "create_model", unsafe)
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    with pytest.raises(ValueError, match="can't be had pretrained"):
        Timm(32, 3, model="test_resnet", pretrained=True)
    assert not (tmp_path / "executed").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_without_timm_it_is_listed_and_building_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"timm is not installed: pip install 'sslcore\[timm\]'"):
        Timm(32, 3)


def test_listing_its_settings_does_not_import_timm():
    program = (
        "import sys; from sslcore.contract.interface import interface_of, load_reference\n"
        "face = interface_of(load_reference('sslcore_timm.encoder:Timm'))\n"
        "assert list(face.settings) == ['model', 'pretrained']\n"
        "assert 'timm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
