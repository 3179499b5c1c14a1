"""BigGAN's networks and spectral norm: shapes, splits, and that evaluation leaves everything as it is."""

import copy

import pytest
import torch

from pipelines.networks.biggan import BigGANDiscriminator, BigGANGenerator
from pipelines.networks.spectral_norm import SNConv2d, SNEmbedding, SNLinear, fold_spectral_norm
from tests.tiny import seeded

SLOTS = {32: 4, 64: 5, 128: 6}


def generator_of(resolution: int, **changes) -> BigGANGenerator:
    sizes = {"base_channels": 4, "num_classes": 3, "latent_dim": 2 * SLOTS[resolution], "embedding_dim": 5}
    generator = BigGANGenerator(resolution, **{**sizes, "attention_resolution": 16, **changes})
    torch.nn.init.ones_(generator.attention.gamma)  # at 0 attention would change nothing
    return generator.eval()


def inputs_of(generator: BigGANGenerator):
    latent = torch.randn(2, generator.config["latent_dim"], generator=seeded())
    features = {
        level: torch.randn(2, channels, level, level, generator=seeded(level))
        for level, channels in generator.channels().items()
        if level <= 32
    }
    return latent, generator.embedding(torch.tensor([0, 2])), features


@pytest.mark.parametrize("resolution", [32, 64, 128])
@torch.no_grad()
def test_shapes(resolution):
    generator = generator_of(resolution)
    latent, embedding, _ = inputs_of(generator)
    image = generator(latent, embedding)
    assert image.shape == (2, 3, resolution, resolution)
    assert image.abs().max() <= 1
    discriminator = BigGANDiscriminator(resolution, 4, 3, 16).eval()
    features = discriminator.trunk(image)
    assert {level: value.shape[1] for level, value in features.items()} == discriminator.trunk.channels()
    assert all(value.shape[2:] == (level, level) for level, value in features.items())
    logits = discriminator(image, torch.tensor([0, 2]))
    assert logits.shape == (2,)
    assert torch.equal(logits, discriminator.judge(features, torch.tensor([0, 2])))
    assert not torch.equal(logits, discriminator(image, torch.tensor([1, 1])))


@pytest.mark.parametrize("added", [False, True])
@torch.no_grad()
def test_split_at_every_resolution_is_the_whole(added):
    generator = generator_of(64)
    latent, embedding, features = inputs_of(generator)
    features = features if added else None
    whole = generator(latent, embedding, features)
    for resolution in generator.channels():
        hidden, conditions = generator.start(latent, embedding)
        hidden = generator.run(hidden, conditions, stop=resolution, features=features)
        assert hidden.shape == (2, generator.channels()[resolution], resolution, resolution)
        if resolution > 4:  # at 4 pixels the features would be added twice
            hidden = generator.run(hidden, conditions, start=resolution, features=features)
            assert torch.equal(generator.finish(hidden), whole), resolution


@torch.no_grad()
def test_every_level_counts():
    generator = generator_of(64)
    latent, embedding, features = inputs_of(generator)
    plain = generator(latent, embedding)
    for level, value in features.items():
        assert not torch.equal(generator(latent, embedding, {level: value}), plain), level


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="`resolution` is 48; one of 32, 64, 128 is accepted"):
        BigGANGenerator(48)
    with pytest.raises(ValueError, match="`latent_dim` is 7; at 32 pixels it must be a multiple of 4"):
        BigGANGenerator(32, 4, latent_dim=7)
    assert max(generator_of(64, max_channels=24).channels().values()) == 24


@torch.no_grad()
def test_training_moves_u_and_evaluation_does_not():
    generator = generator_of(32)
    latent, embedding, _ = inputs_of(generator)
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    generator(latent, embedding)
    assert all(torch.equal(value, before[key]) for key, value in generator.state_dict().items())
    generator.train()(latent, embedding)
    moved = {key for key, value in generator.state_dict().items() if not torch.equal(value, before[key])}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert {key for key in before if key.endswith(".u") and len(before[key][0]) > 1} <= moved
    assert all(key.endswith((".u", *statistics)) for key in moved)


@torch.no_grad()
def test_saved_network_computes_the_same(tmp_path):
    generator = generator_of(32).train()
    latent, embedding, _ = inputs_of(generator)
    for _ in range(2):
        generator(latent, embedding)
    generator.eval().save_pretrained(tmp_path)
    again = BigGANGenerator.from_pretrained(tmp_path)
    assert torch.equal(again(latent, embedding), generator(latent, embedding))


@torch.no_grad()
def test_folded_is_what_evaluation_computes():
    generator = generator_of(32).train()
    latent, embedding, _ = inputs_of(generator)
    generator(latent, embedding)
    folded = copy.deepcopy(generator)  # in training mode: folding computes as evaluation does
    fold_spectral_norm(folded)
    assert folded.training
    assert not [key for key in folded.state_dict() if key.endswith(".u")]
    wanted = generator.eval()(latent, embedding)
    assert torch.equal(folded.eval()(latent, embedding), wanted)
    fold_spectral_norm(folded)
    assert torch.equal(folded(latent, embedding), wanted)


@pytest.mark.parametrize(
    "layer", [SNConv2d(4, 6, 3), SNLinear(5, 7), SNEmbedding(6, 4)], ids=lambda x: type(x).__name__
)
@torch.no_grad()
def test_largest_singular_value_becomes_one(layer):
    layer.train()
    for _ in range(200):
        weight = layer.normalized_weight()
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


def test_gradient_counts_the_norm():
    """The singular value is a function of the weight: a weight scaled by itself changes nothing."""
    layer = SNLinear(5, 7).eval()
    layer.normalized_weight().square().sum().backward()
    assert (layer.weight.grad * layer.weight).sum().abs() < 1e-4
