"""CLIP: tokens, captions, the two towers, the loss, and classification by text."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

import sslcore
from sslcore.errors import CompositionError
from sslcore.registry.registry import default_registry
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.testing import conformance
from sslcore.testing.parts.entries import specs_of
from sslcore.training.trainer import Trainer
from sslcore_clip.captions import captioned_digits
from sslcore_clip.head import ImageText
from sslcore_clip.loss import CLIP
from sslcore_clip.tokenizer import END, PADDING, text_of, tokens_of
from sslcore_clip.zero_shot import ZeroShot

QUICK = {"training": {"epochs": 1, "batch_size": 128, "precision": "fp32", "log_every": 1}}


def _specs():
    registry = default_registry()
    parts = [
        ("dataset", "captioned-digits"),
        ("head", "image-text"),
        ("loss", "clip"),
        ("evaluator", "zero-shot"),
    ]
    return [spec for part in parts for spec in specs_of(registry.resolve(*part), registry)]


@conformance(*_specs())
def test_the_parts_of_clip_conform(case):
    case.run()


def test_text_has_tokens_of_one_length_and_comes_back():
    tokens = tokens_of(("a seven", "eine Fünf", ""), 12)
    assert tokens.shape == (3, 12)
    assert tokens[2].tolist() == [END] + [PADDING] * 11
    assert [text_of(row) for row in tokens] == ["a seven", "eine Fünf", ""]
    cut = tokens_of(("eine Fünf",), 7)
    assert cut[0, -1] == END
    assert text_of(cut[0]) == "eine F"


def test_a_caption_names_the_digit_of_its_image_and_its_stroke():
    data = captioned_digits()
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    for split in data.splits:
        captions = [text_of(row) for row in split.extras["captions"]]
        for caption, label in zip(captions, split.labels.tolist(), strict=True):
            assert names[label] in caption.split()
        ink = {
            stroke: split.images[[stroke in each for each in captions]].float().mean()
            for stroke in ("thin", "plain", "bold")
        }
        assert ink["thin"] < ink["plain"] < ink["bold"]


def test_padding_does_not_change_a_text_and_later_tokens_do_not_change_earlier_ones():
    head = ImageText(4, dim=8).eval()
    short, long = tokens_of(("a three",), 10), tokens_of(("a three",), 30)
    torch.testing.assert_close(head.texts(short), head.texts(long))
    other = tokens_of(("a seven",), 10)
    assert not torch.allclose(head.texts(short), head.texts(other))
    with pytest.raises(ValueError, match="raise it"):
        head.texts(torch.ones(1, 100, dtype=torch.int64))


def test_logits_are_the_cosines_with_the_prompts():
    head = ImageText(4, dim=8, prompts=("a one", "a two", "a three")).eval()
    made = head(torch.randn(1, 5, 4))
    assert "text_projections" not in made
    expected = made["projections"] @ head.texts(tokens_of(("a one", "a two", "a three"), 64)).T
    torch.testing.assert_close(made["logits"], expected)
    assert "logits" not in head.train()(torch.randn(1, 5, 4))


def test_the_loss_is_the_cross_entropy_of_rows_and_columns():
    images, texts = torch.randn(2, 6, 3).double(), torch.randn(1, 6, 3).double()
    loss = CLIP(temperature=0.2)
    wanted = []
    for view in images:
        logits = F.normalize(view, dim=1) @ F.normalize(texts[0], dim=1).T / 0.2
        own = torch.arange(6)
        wanted += [F.cross_entropy(logits, own), F.cross_entropy(logits.T, own)]
    torch.testing.assert_close(loss(images, texts), torch.stack(wanted).mean())


def test_the_temperature_is_learned_and_limited():
    loss = CLIP(temperature=0.07)
    loss(torch.randn(1, 6, 3), torch.randn(1, 6, 3)).backward()
    assert loss.log_scale.grad != 0
    with torch.no_grad():
        loss.log_scale.fill_(10.0)
        loss.after_step(0.5)
    assert math.exp(loss.log_scale.item()) / 0.07 == pytest.approx(100.0)
    assert not CLIP(learned=False).log_scale.requires_grad


def test_an_image_is_of_the_class_with_the_most_similar_text():
    logits = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4]])
    labels = torch.tensor([1, 0, 0])
    assert ZeroShot()(labels, 2, logits) == {"zero_shot_accuracy": pytest.approx(2 / 3)}
    assert ZeroShot()(labels, 2) == {}
    with pytest.raises(ValueError, match=r"head\.prompts"):
        ZeroShot()(labels, 3, logits)


def test_clip_trains_on_captions_by_its_plain_command_and_resumes_bit_identically(
    console, monkeypatch
):
    whole = sslcore.train("clip", settings=QUICK, output="whole", console=console)
    assert "zero_shot_accuracy" in whole.read_evaluation()["encoder"]
    assert "clip on captioned-digits" in console.file.getvalue()
    train_step = Trainer.train_step

    def killed(self, batch):
        if batch.step == 5:
            raise KeyboardInterrupt
        return train_step(self, batch)

    settings = {"training": {**QUICK["training"], "checkpoint_every": 3}}
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_step", killed)
        with pytest.raises(KeyboardInterrupt):
            sslcore.train("clip", settings=settings, output="part", console=console)
    part = sslcore.train(resume="part", console=console, evaluate=False)
    one, other = load_checkpoint(whole.checkpoints), load_checkpoint(part.checkpoints)
    assert one.step == other.step == 10
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, other.tensors[name]), name


def test_clip_without_captions_is_refused(console):
    with pytest.raises(CompositionError, match=r"needs text_projections.*there is no captions"):
        sslcore.train("clip", data="digits", settings=QUICK, output="run", console=console)
