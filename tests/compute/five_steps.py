"""Train five steps of each named method in torchrun's processes, and write weights to a folder.

    torchrun --nproc-per-node=2 five_steps.py FOLDER METHOD[+SECTION.NAME=VALUE…] …

Everything is computed in float64, so that differences by the order of sums are too small to hide
any other difference.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from sslcore.api import make_recipe
from sslcore.compute.processes import process_group
from sslcore.data.batches import Batches
from sslcore.pipeline import pipeline as pipeline_module
from sslcore.pipeline.build import ImageShape, build_data, build_pipeline
from sslcore.recipe.toml import parse_assignment
from sslcore.registry.registry import default_registry
from sslcore.training.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parents[1] / "third_party"))

import extras_plugin

STEPS = 5
REGISTRY = default_registry()
REGISTRY.register(extras_plugin, name="extras", distribution="third-party", version="1.0")
DEVICE = torch.device("cpu")


def trainer_of(words, processes, folder):
    """Return a trainer of the recipe that the words describe, in float64."""
    method, *assignments = words.split("+")
    settings = [
        ("training", "batch_size", 16),
        ("training", "precision", "fp32"),
        ("training", "epochs", 1),
        *(parse_assignment(text) for text in assignments if "=" in text),
    ]
    parts = dict(text.split(":") for text in assignments if "=" not in text)
    recipe, _ = make_recipe(method, settings=settings, registry=REGISTRY, **parts)
    data = build_data(recipe.data)
    shape = ImageShape.of(data.train, len(data.classes))
    pipeline = build_pipeline(recipe, shape, train=data.train)
    pipeline = pipeline.double().to(memory_format=torch.channels_last)
    size = recipe.training.batch_size
    batches = Batches(
        data.train,
        size,
        0,
        DEVICE,
        labels=pipeline.supervised,
        given=pipeline.wanted(),
        workers=0,
        share=processes.share(size),
    )
    pipeline.train()
    return Trainer(recipe, pipeline, batches, DEVICE, "fp32", folder, processes)


def main():
    """Train, and write the results of the main process."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    pipeline_module.as_float = lambda images: images.double() / 255
    with process_group(DEVICE) as processes:
        for words in sys.argv[2:]:
            trainer = trainer_of(words, processes, folder)
            made = {}
            for batch in trainer.batches.between(0, STEPS):
                signals = trainer.train_step(batch)
                made[f"loss/{batch.step}"] = signals["loss"]
                for name, item in trainer.pipeline.named_parameters():
                    if batch.step == 0 and item.grad is not None:
                        made[f"gradient/{name}"] = item.grad
            made |= {f"model/{name}": item for name, item in trainer.pipeline.state_dict().items()}
            if processes.is_main:
                plain = {name: item.detach().contiguous().clone() for name, item in made.items()}
                save_file(plain, folder / f"{words}.safetensors")


if __name__ == "__main__":
    main()
