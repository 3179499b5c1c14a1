import dataclasses

import pytest
import torch
from accelerate import Accelerator

from pipelines.networks.vgg import VGGBackbone
from pipelines.training.classifier import ClassifierConfig, ClassifierTrainer, learning_rate
from pipelines.training.datasets import ImageBatches, ImageSet
from pipelines.training.ema import EMA
from pipelines.training.loop import step_generator, train
from tests.unit.test_training_loop import same
from tests.unit.tiny_training import newest_state

TINY = ClassifierConfig(
    blocks=((4,), (8,)),
    taps=("relu1_1", "relu2_1"),
    size=16,
    batch_size=8,
    steps=40,
    lr=0.02,
    warmup_steps=2,
    color_jitter=0.2,
    ema_decay=0.8,
    dense_points=16,
    precision="fp32",
)


def two_colors(flipped=False, count=16, size=18):
    images = torch.full((count, 3, size, size), 40, dtype=torch.uint8)
    labels = torch.arange(count) % 2
    images[labels == 0, 0] = 220
    images[labels == 1, 2] = 220
    noise = torch.randint(0, 30, images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageSet(images + noise, 1 - labels if flipped else labels, ())


def run(output, steps, config=TINY, pictures=None):
    pictures = pictures or two_colors()
    trainer = ClassifierTrainer(config, ["red", "blue"], Accelerator(cpu=True), pictures)
    data = ImageBatches(pictures, config.batch_size, config.seed)
    options = {"output": output, "config": dataclasses.asdict(config), "steps": steps, "seed": config.seed}
    train(trainer, data, trainer.accelerator, **options)
    return trainer


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_learns_two_colors(tmp_path, precision, flipped):
    measured = run(tmp_path, 40, dataclasses.replace(TINY, precision=precision), two_colors(flipped)).evaluate()
    assert measured["held_out_accuracy"] == 1  # whichever color is called red: no untrained network does both
    assert measured["held_out_dense_accuracy"] > 2 / TINY.dense_points  # twice chance


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_resume_is_exact(tmp_path, optimizer):
    config = dataclasses.replace(TINY, optimizer=optimizer)
    run(tmp_path / "whole", 10, config)
    run(tmp_path / "parts", 5, config)
    run(tmp_path / "parts", 10, config)
    assert same(newest_state(tmp_path / "whole")["trainer"], newest_state(tmp_path / "parts")["trainer"])


def test_saved_backbone_computes_what_was_trained(tmp_path):
    trainer = run(tmp_path, 5)
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    trainer.backbone().save_pretrained(tmp_path / "backbone")
    loaded = VGGBackbone.from_pretrained(tmp_path / "backbone", use_safetensors=True)
    with torch.no_grad():
        expected, given = trainer.ema.module.eval().backbone(image), loaded(image)
    assert list(given) == ["relu1_1", "relu2_1"]
    for name, value in expected.items():
        torch.testing.assert_close(given[name], value, rtol=1e-4, atol=1e-5)


def test_without_the_dense_term_there_is_one_view():
    trainer = ClassifierTrainer(
        dataclasses.replace(TINY, dense_weight=0.0), ["red", "blue"], Accelerator(cpu=True), two_colors()
    )
    batch = ImageBatches(two_colors(), 8, 0).next_batch() | {"generator": step_generator(0, 0, 0)}
    assert set(trainer.step(batch)) == {"class_loss", "train_accuracy"}
    assert trainer.preview(batch).size == (4 * 18, 3 * 18)


def test_learning_rate_warms_up_and_ends_at_zero():
    config = dataclasses.replace(TINY, steps=100, warmup_steps=10, lr=1.0)
    assert learning_rate(config, 0) == pytest.approx(0.1)
    assert learning_rate(config, 9) == 1
    assert learning_rate(config, 55) == pytest.approx(0.5)
    assert learning_rate(config, 100) == pytest.approx(0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("optimizer", "lion", "must be one of adamw, sgd"),
        ("precision", "fp16", "must be one of bf16, fp32"),
        ("steps", 0, "steps is 0"),
        ("taps", ("relu1_2", "relu2_1"), "these blocks have relu1_1,relu2_1"),
        ("taps", ("relu1_1",), "the head needs the last one, relu2_1"),
    ],
)
def test_bad_settings_are_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **{field: value})


def test_ema_follows_and_resumes():
    module = torch.nn.Linear(2, 1)
    ema = EMA(module, decay=0.5)
    start = ema.module.weight.clone()
    module.weight.data += 1
    ema.update(module)
    torch.testing.assert_close(ema.module.weight, start + 0.9)  # the first update follows by 1 - 1 / 10
    other = EMA(module, decay=0.5)
    other.load_state_dict(ema.state_dict())
    assert other.updates == 1
    assert torch.equal(other.module.weight, ema.module.weight)
