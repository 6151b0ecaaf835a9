"""`load_classifier`: a run's encoder with the head that was trained on labels."""

from __future__ import annotations

import pytest
import torch

import sslcore
from sslcore.errors import UsageError


@pytest.fixture
def classified(console):
    def run(**training):
        settings = {"training": {"epochs": 2, "batch_size": 256, "precision": "fp32"} | training}
        return sslcore.train(
            method="classification", settings=settings, output="classified", console=console
        )

    return run


def accuracy_of(classifier):
    test = sslcore.build("dataset", "digits").test
    return (classifier(test.images).argmax(1) == test.labels).double().mean().item()


def test_it_gives_the_logits_that_the_run_was_scored_by(classified):
    run = classified()
    classifier = sslcore.load_classifier(run.path)
    assert accuracy_of(classifier) == run.evaluation["encoder"]["accuracy"]
    assert classifier.classes == tuple("0123456789")


def test_images_may_be_bytes_or_floats_and_build_no_graph(classified):
    classifier = sslcore.load_classifier(classified().path)
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    logits = classifier(images)
    assert logits.shape == (4, 10)
    assert not logits.requires_grad
    torch.testing.assert_close(logits, classifier(images / 255))
    with pytest.raises(ValueError, match="expected floats in"):
        classifier(images.float())


def test_its_head_has_the_best_weights_where_the_run_kept_these(classified):
    run = classified(evaluate_every=1, keep="best", epochs=3)
    best = max(line.get("trained.accuracy", 0.0) for line in run.metrics)
    assert accuracy_of(sslcore.load_classifier(run.path)) == pytest.approx(best)
    from safetensors.torch import load_file

    kept = load_file(run.path / "best.safetensors")
    head = sslcore.load_classifier(run.path).head.state_dict()
    assert all(torch.equal(kept[f"head.{name}"], weight) for name, weight in head.items())


def test_a_run_without_a_classifier_is_refused_with_the_command_that_makes_one(console):
    run = sslcore.train(
        method="simclr",
        settings={"training": {"epochs": 1, "batch_size": 512}},
        evaluate=False,
        output="run",
        console=console,
    )
    with pytest.raises(UsageError, match=r"run has no classifier; .*: sslcore finetune run --data"):
        sslcore.load_classifier(run.path)


def test_scores_on_other_data_are_those_of_the_classes_of_the_same_names(photos, console):
    settings = {"training": {"epochs": 1, "batch_size": 8}}
    first = photos({"ant": 10, "bee": 10, "cow": 10}, size=16, name="three")
    run = sslcore.train(
        method="classification", data=str(first), settings=settings, output="run", console=console
    )
    # Without the first class, labels are numbered otherwise.
    fewer = photos({"bee": 10, "cow": 10}, size=16, name="two")
    table = sslcore.evaluate(run.path, data=str(fewer), console=console)
    data = sslcore.build("dataset", "folder", path=str(fewer))
    classifier = sslcore.load_classifier(run.path)
    guesses = [classifier.classes[label] for label in classifier(data.test.images).argmax(1)]
    right = [
        guess == data.classes[label]
        for guess, label in zip(guesses, data.test.labels.tolist(), strict=True)
    ]
    assert table["encoder"]["accuracy"] == pytest.approx(sum(right) / len(right))
    strange = photos({"bee": 10, "crow": 10}, size=16, name="other")
    with pytest.raises(UsageError, match="does not know the class crow"):
        sslcore.evaluate(run.path, data=str(strange), console=console)
