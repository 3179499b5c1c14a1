import pytest
import torch

from pipelines.cut.memory_bank import MemoryBank
from pipelines.cut.trainer import CUTTrainer
from pipelines.cut.training_config import CUTConfig
from pipelines.cut.training_parts import training_crops
from pipelines.training.checkpoint import TrainingError
from tests.unit.test_training_loop import same
from tests.unit.tiny_training import newest_state
from tests.unit.tiny_unpaired import run_tiny, tiny_config, tiny_trainer, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def pictures(seed=0, count=1):
    source = torch.Generator().manual_seed(seed)
    return [torch.rand(count, 3, 24, 24, generator=source) * 2 - 1 for _ in range(2)]


def optimize(trainer, seed=0, flipped=False):
    return trainer.optimize(*pictures(seed), flipped, torch.Generator().manual_seed(seed))


def gradients(module):
    return [0 if each.grad is None else each.grad.abs().max().item() for each in module.parameters()]


@pytest.mark.parametrize("variant", ["cut", "fastcut", "external", "separate"])
def test_ten_steps_equal_five_and_resume_and_five(data, tmp_path, variant):
    config = tiny_config(variant)  # the decay begins with the sixth step
    assert run_tiny(data, tmp_path / "whole", config, steps=10) == 10
    run_tiny(data, tmp_path / "parts", config, steps=5)
    torch.manual_seed(999)
    run_tiny(data, tmp_path / "parts", config, steps=10)
    whole = newest_state(tmp_path / "whole")
    assert same(whole, newest_state(tmp_path / "parts"))
    rate = whole["trainer"]["optimizers"]["generator"]["param_groups"][0]["lr"]
    assert rate == pytest.approx(config.lr * 2 / 3)
    assert ("banks" in whole["trainer"]) == (variant == "external")


def test_a_weight_that_overflowed_stops_with_the_last_good_checkpoint(data, tmp_path, monkeypatch):
    step = CUTTrainer.step

    def overflow(self, batch):
        if self.steps_done == 2:
            self.generator.stem.weight.data[0] = float("inf")
        return step(self, batch)

    monkeypatch.setattr(CUTTrainer, "step", overflow)
    with pytest.raises(TrainingError, match=r"became nan at step 3.*step-00000002\.pt"):
        run_tiny(data, tmp_path, tiny_config("cut"), steps=5, checkpoint_every=1)
    assert newest_state(tmp_path)["step"] == 2


def test_a_run_draws_from_its_own_generators_only(data):
    before = torch.get_rng_state()
    trainer = tiny_trainer(tiny_config("external"))
    batch = {side: [torch.zeros(3, 28, 28, dtype=torch.uint8)] for side in "ab"}
    trainer.step({**batch, "generator": torch.Generator().manual_seed(0)})
    assert torch.equal(torch.get_rng_state(), before)


def test_names_of_the_saved_state():
    state = tiny_trainer(tiny_config("cut")).state_dict()
    assert state.keys() == {"networks", "optimizers", "ema", "steps_done"}
    assert state["networks"].keys() == state["optimizers"].keys() == {"generator", "discriminator", "sampler"}


def test_keys_are_the_features_of_the_pictures_as_they_are():
    trainer = tiny_trainer(tiny_config("fastcut"))
    (source, _), layers = pictures(), trainer.config.nce_layers
    wanted = trainer.generator.encode(source, layers, stop=True)[1]
    for flipped in (False, True):
        _, features = trainer.generator.encode(source.flip(-1) if flipped else source, layers)
        for found, expected in zip(trainer._keys(source, flipped, features), wanted, strict=True):
            assert torch.equal(found, expected)
            assert not found.requires_grad
    for found, expected in zip(trainer._queries(source, True), wanted, strict=True):
        assert torch.equal(found.flip(-1), expected)


def test_half_of_the_pictures_are_mirrored(monkeypatch):
    trainer = tiny_trainer(tiny_config("fastcut"))
    seen = []
    monkeypatch.setattr(trainer, "optimize", lambda a, b, flipped, generator: seen.append(flipped) or {})
    for seed in range(40):
        batch = {side: [torch.zeros(3, 28, 28, dtype=torch.uint8)] for side in "ab"}
        trainer.step({**batch, "generator": torch.Generator().manual_seed(seed)})
    assert 10 < sum(seen) < 30


@pytest.mark.parametrize(("variant", "trained"), [("cut", True), ("no_decoder", False)])
def test_gradient_of_patch_nce_in_the_decoder(variant, trained):
    trainer = tiny_trainer(tiny_config(variant, lambda_gan=0.0))
    optimize(trainer)
    assert trainer.generator.head.weight.grad.abs().max() > 0 if trained else max(gradients(trainer.generator.up)) == 0
    assert max(gradients(trainer.generator.down)) > 0
    assert max(gradients(trainer.sampler)) > 0


def test_a_separate_encoder_embeds_the_input_and_is_trained():
    trainer = tiny_trainer(tiny_config("separate"))
    source, _ = pictures()
    found = trainer._keys(source, False, [])
    wanted = trainer.networks["key_encoder"].encode(source, trainer.config.nce_layers, stop=True)[1]
    assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))
    optimize(trainer)
    assert max(gradients(trainer.networks["key_encoder"].down)) > 0
    assert max(gradients(trainer.networks["key_sampler"])) > 0
    assert max(gradients(trainer.networks["key_encoder"].up)) == 0


def test_memory_bank_keeps_the_newest_keys():
    bank = MemoryBank(4, 1, torch.device("cpu"))
    assert bank.keys.shape == (0, 1)
    bank.add(torch.tensor([[[1.0], [2.0], [3.0]]]))
    assert bank.keys.flatten().tolist() == [1, 2, 3]
    bank.add(torch.tensor([[4.0], [5.0]]))
    assert sorted(bank.keys.flatten().tolist()) == [2, 3, 4, 5]
    bank.add(torch.arange(10.0, 20.0)[:, None])
    assert sorted(bank.keys.flatten().tolist()) == [16, 17, 18, 19]


def test_external_negatives_are_the_keys_of_earlier_pictures():
    trainer = tiny_trainer(tiny_config("external", bank_size=100))
    assert optimize(trainer)["nce"] == 0  # nothing to contrast with yet
    encoder, sampler = (average.module for average in trainer.momentum.values())
    old = encoder.stem.weight.clone()
    first = [bank.keys.clone() for bank in trainer.banks[0]]
    assert [len(keys) for keys in first] == [8, 8, 8]
    assert optimize(trainer, seed=1)["nce"] > 0
    torch.testing.assert_close(encoder.stem.weight, 0.9 * old + 0.1 * trainer.generator.stem.weight)
    for before, bank in zip(first, trainer.banks[0], strict=True):
        assert torch.equal(bank.keys[:8], before)
        assert len(bank.keys) == 16
        torch.testing.assert_close(bank.keys.norm(dim=1), torch.ones(16), atol=1e-3, rtol=0)
    assert not torch.equal(trainer.banks[0][0].keys, trainer.banks[1][0].keys)  # of the other side
    assert not any(each.requires_grad for each in (*encoder.parameters(), *sampler.parameters()))


def test_sizes_jitter_in_the_constant_phase_only():
    config = tiny_config("cut")
    picture = torch.arange(28 * 28).remainder(256).byte().view(1, 28, 28).expand(3, -1, -1)

    def crops(epoch):
        found = [
            training_crops([picture], config, epoch, torch.Generator().manual_seed(seed), torch.device("cpu"))
            for seed in range(12)
        ]
        return {tuple(each.flatten().tolist()) for each in found}

    assert len(crops(1)) > 6
    assert len(crops(2)) == 2  # as it is, and mirrored


def test_without_averaging_the_trained_weights_are_the_result(data, tmp_path):
    for decay in (0.0, 0.9):
        run_tiny(data, tmp_path / str(decay), tiny_config("cut", ema_decay=decay), steps=3)
        state = newest_state(tmp_path / str(decay))["trainer"]
        assert same(state["networks"]["generator"], state["ema"]["module"]) == (decay == 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"crop_size": 20}, "crop_size is 20; it must be at least 24"),
        ({"crop_size": 130}, "crop_size is 130; it must be a multiple of 4"),
        ({"load_size": 200}, "load_size is 200; it must be at least crop_size, 256"),
        ({"lr": float("nan")}, "lr is nan; it must be above 0"),
        ({"lambda_nce": -1.0}, "lambda_nce is -1; it must be at least 0"),
        ({"epochs": 0, "decay_epochs": 0}, "epochs and decay_epochs are both 0"),
        ({"ema_decay": 1.0}, "ema_decay is 1; it must be at least 0 and below 1"),
        ({"negatives": "none"}, "negatives is 'none'; it must be one of internal, external"),
        ({"num_blocks": 4}, "nce_layers is input,down1,down2,block1,block5; they must be some of .* block4"),
        ({"negatives": "external", "share_encoder": False}, "a momentum encoder is a copy of the shared one"),
        ({"pool_size": 10}, "pool_size is 10; cut has no such setting"),
        ({"method": "cyclegan", "lambda_nce": 3.0}, r"lambda_nce is 3\.0; cyclegan has no such setting"),
    ],
)
def test_settings_of_no_use_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CUTConfig(**changes)


def test_presets():
    assert CUTConfig.preset("cut") == CUTConfig()
    fast = CUTConfig.preset("fastcut", lambda_nce=5.0)
    assert (fast.lambda_nce, fast.nce_identity, fast.flip_equivariance, fast.epochs) == (5.0, False, True, 150)
    with pytest.raises(ValueError, match="must be one of cut, fastcut, cyclegan"):
        CUTConfig.preset("munit")
