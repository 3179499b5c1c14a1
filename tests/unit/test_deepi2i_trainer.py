"""Training DeepI2I: phases, freezing, transfer, resume."""

import pytest
import torch

from pipelines.deepi2i.losses import reconstruction
from pipelines.deepi2i.training_config import DeepI2IConfig
from pipelines.deepi2i.transfer import PretrainedGAN, begin, describe_adaptor
from pipelines.training.class_rows import describe_rows, embedding_rows
from tests.unit import tiny_deepi2i as tiny
from tests.unit.processes import two_processes
from tests.unit.test_training_loop import same
from tests.unit.tiny_training import newest_state


def snapshot(trainer):
    return {
        name: {key: value.clone() for key, value in network.state_dict().items()}
        for name, network in trainer.networks.items()
    }


def moved(trainer, before):
    """Networks of which a parameter changed, and networks of which a buffer did."""
    parameters, buffers = set(), set()
    for name, network in trainer.networks.items():
        trained = {key for key, _ in network.named_parameters()}
        for key, value in network.state_dict().items():
            if not torch.equal(value, before[name][key]):
                (parameters if key in trained else buffers).add(name)
    return parameters, buffers


@pytest.mark.parametrize("preset", ["transfer", "scratch"])
def test_ten_steps_equal_five_and_resume_and_five(tmp_path, preset):
    assert tiny.run(tiny.deepi2i_trainer(preset), tmp_path / "whole", 10) == 10
    tiny.run(tiny.deepi2i_trainer(preset), tmp_path / "parts", 5)
    torch.manual_seed(999)
    tiny.run(tiny.deepi2i_trainer(preset), tmp_path / "parts", 10)
    assert same(newest_state(tmp_path / "whole"), newest_state(tmp_path / "parts"))


def test_phase_one_trains_adaptor_and_discriminator_alone():
    trainer = tiny.deepi2i_trainer(adaptor_steps=1)
    before = snapshot(trainer)
    trainer.step(tiny.batch())
    assert moved(trainer, before) == ({"adaptor", "discriminator"}, {"adaptor", "discriminator"})


def test_phase_two_trains_all_but_the_encoder():
    trainer = tiny.deepi2i_trainer(adaptor_steps=1)
    trainer.step(tiny.batch())
    before = snapshot(trainer)
    trainer.step(tiny.batch(1))
    others = {"adaptor", "generator", "discriminator"}
    assert moved(trainer, before) == (others, others)


def test_statistics_of_frozen_networks_move_where_asked_as_in_the_authors_code():
    trainer = tiny.deepi2i_trainer(adaptor_steps=1, freeze_statistics=False)
    before = snapshot(trainer)
    trainer.step(tiny.batch())
    everything = {"encoder", "adaptor", "generator", "discriminator"}
    assert moved(trainer, before) == ({"adaptor", "discriminator"}, everything)


def test_from_scratch_the_encoder_is_trained():
    trainer = tiny.deepi2i_trainer("scratch")
    before = snapshot(trainer)
    trainer.step(tiny.batch())
    assert moved(trainer, before)[0] == {"encoder", "adaptor", "generator", "discriminator"}


@pytest.mark.parametrize("part", ["encoder", "generator", "discriminator"])
def test_partial_transfer(part):
    gan = tiny.pretrained()
    config = tiny.deepi2i_config(transfer=(part,), train_encoder=True, adaptor_steps=0)
    networks = begin(config, gan, tiny.NAMES)
    same_weights = {
        "encoder": torch.equal(networks.encoder.trunk.blocks[0].conv1.weight, conv(gan.discriminator)),
        "generator": torch.equal(networks.generator.blocks[0].conv1.weight, gan.generator.blocks[0].conv1.weight),
        "discriminator": torch.equal(conv(networks.discriminator), conv(gan.discriminator)),
    }
    assert same_weights == {name: name == part for name in same_weights}


def conv(discriminator):
    return discriminator.trunk.blocks[0].conv1.weight


def test_classes_keep_their_rows_by_name_then_reuse_others_then_take_the_mean():
    before, after = ["ant", "bee", "cat"], ["bee", "dog", "eel", "fox"]
    assert embedding_rows(before, after, 3) == [1, 0, 2, None]
    assert describe_rows(before, after, 3) == (
        "1 of 4 classes keep the pretrained GAN's embedding of the same name, 2 begin from that of another class, "
        "1 from the mean of all; 0 of its 3 are dropped."
    )
    gan = tiny.pretrained()
    networks = begin(tiny.deepi2i_config(), gan, ["plum", "quince", "fig", "date", "apple"])
    table, old = networks.generator.embedding.weight, gan.generator.embedding.weight
    assert len(table) == networks.discriminator.config["num_classes"] == 5
    assert torch.equal(table[[0, 1, 4]], old[[2, 1, 0]])
    torch.testing.assert_close(table[2], old.mean(dim=0))
    exact = torch.linalg.matrix_norm(networks.discriminator.embedding.weight, ord=2)
    normalized = networks.discriminator.eval().embedding.normalized_weight()
    torch.testing.assert_close(torch.linalg.matrix_norm(normalized, ord=2), exact / exact, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("preset", "levels", "weights", "reconstruction_weights"),
    [
        ("transfer", (32, 16, 8, 4), (0.1, 0.1, 0.1, 0.1), (0.01, 0.1, 0.1, 0.1)),
        ("scratch", (8, 4), (1.0, 1.0), (0.1, 0.1)),
        ("scratch", (4, 64, 32), (1.0, 0.1, 0.1), (0.1, 0.01, 0.01)),
    ],
)
def test_weights_of_a_preset_follow_the_levels(preset, levels, weights, reconstruction_weights):
    config = DeepI2IConfig.preset(preset, levels=levels)
    assert (config.level_weights, config.reconstruction_weights) == (weights, reconstruction_weights)
    assert DeepI2IConfig.preset(preset) == DeepI2IConfig.preset(preset, levels=(32, 16, 8, 4))


def test_the_adaptor_of_a_pipeline_is_kept_level_by_level():
    before = begin(tiny.deepi2i_config(), tiny.pretrained(), tiny.NAMES)
    source = PretrainedGAN(before.generator, before.discriminator, tiny.NAMES, before.encoder, before.adaptor)
    weights = {"level_weights": (0.1,) * 2, "reconstruction_weights": (0.1,) * 2}
    config = tiny.deepi2i_config(levels=(4, 16), **weights)
    after = begin(config, source, tiny.NAMES)
    for level in ("4", "16"):
        assert same(after.adaptor.blocks[level].state_dict(), before.adaptor.blocks[level].state_dict())
    assert "kept 4, 16, dropped 8; levels that begin at random: none" in describe_adaptor(config, source)
    new = tiny.deepi2i_config(levels=(4, 16), transfer=("generator",), train_encoder=True, **weights)
    assert not same(begin(new, source, tiny.NAMES).adaptor.state_dict(), after.adaptor.state_dict())
    assert "kept none, dropped 16, 8, 4; levels that begin at random: 4, 16" in describe_adaptor(new, source)
    assert describe_adaptor(config, tiny.pretrained()) == ""


def test_a_subset_of_levels():
    weights = {"level_weights": (0.1,), "reconstruction_weights": (0.1,)}
    trainer = tiny.deepi2i_trainer(levels=(8,), **weights)
    assert list(trainer.adaptor.blocks) == ["8"]
    losses = trainer.step(tiny.batch())
    assert all(value == value for value in losses.values())


def test_an_encoder_ends_with_its_smallest_level():
    """The blocks behind it are left out, and what is left gives what the whole trunk gives."""
    source = tiny.pretrained()
    config = tiny.deepi2i_config(levels=(16, 8), level_weights=(1, 1), reconstruction_weights=(1, 1))
    encoder = begin(config, source, tiny.NAMES).encoder.eval()
    trunk = source.discriminator.trunk.eval()
    assert len(encoder.trunk.blocks) < len(trunk.blocks)
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    features = encoder(image)
    assert list(features) == [16, 8]
    assert all(torch.equal(features[level], trunk(image)[level]) for level in features)


def test_reconstruction_pulls_a_translation_toward_its_source():
    trainer = tiny.deepi2i_trainer(adaptor_steps=0, lr_generator=2e-3, augmentation=("none",), flip=False)
    strong = dict.fromkeys(tiny.LEVELS, 10.0)
    trainer.reconstruction_weights = strong
    first = trainer.step(tiny.batch())["reconstruction"]
    for _ in range(40):
        last = trainer.step(tiny.batch())["reconstruction"]
    assert last < 0.8 * first


def test_reconstruction_compares_each_result_with_its_own_source():
    source = {4: torch.tensor([1.0, 5.0]).view(2, 1, 1, 1)}
    result = {4: torch.tensor([2.0, 7.0]).view(2, 1, 1, 1)}
    assert reconstruction(source, result, {4: 0.1}) == pytest.approx(0.15)
    assert reconstruction(source, result, {4: 0.1}, squared=True) == pytest.approx(0.25)


def test_the_log_form_of_the_adversarial_loss():
    losses = tiny.deepi2i_trainer(adversarial="log").step(tiny.batch())
    assert losses["d_real"] > 0 < losses["d_fake"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfer": ("adaptor",)}, "transfer names 'adaptor'; it must be some of encoder, generator, discriminator"),
        ({"level_weights": (0.1,)}, "level_weights has 1 values; levels has 4"),
        ({"adversarial": "wasserstein"}, "adversarial is 'wasserstein'; it must be hinge or log"),
        ({"transfer": ("none",)}, "adaptor_steps is 500 and the generator begins at random"),
        ({"transfer": ("generator",)}, "the encoder begins at random and train_encoder is off"),
        ({"augmentation": ("noise",)}, "augmentation names 'noise'; it must be some of color, translation, cutout"),
        ({"lr_generator": 0.0}, "lr_generator is 0; it must be above 0"),
    ],
)
def test_settings_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DeepI2IConfig(**changes)


def test_two_processes_stay_together(tmp_path):
    codes, errors = two_processes("tests.unit.tiny_deepi2i", tmp_path)
    assert codes == [0, 0], errors
    for name in ("gan", "deepi2i"):
        first, second = (torch.load(tmp_path / f"{name}-{rank}.pt")["weights"] for rank in range(2))
        for key, value in first.items():
            assert torch.equal(value, second[key]), key


def test_a_batch_in_parts_gives_the_gradients_of_the_whole():
    """The generator has running statistics here; with batch statistics a part has its own."""
    found = []
    for parts in (1, 2):
        trainer = tiny.deepi2i_trainer(adaptor_steps=9, augmentation=("none",), flip=False, lr_discriminator=1e-9)
        trainer.discriminator.eval()
        trainer.adaptor.eval()
        real = tiny.as_floats(4)
        trainer._set_modes = lambda trainer=trainer: trainer.generator.eval().requires_grad_(False)
        whole = trainer._draw(real, torch.arange(4) % 3, real.roll(1, dims=0), torch.Generator().manual_seed(1))
        pieces = [tiny.part_of(whole, each) for each in torch.arange(4).tensor_split(parts)]
        trainer.optimize(pieces, pieces)
        found.append([each.grad.clone() for each in trainer.adaptor.parameters()])
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-4 * whole.abs().max().item())
