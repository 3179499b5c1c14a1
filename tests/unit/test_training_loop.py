import json
import os
import signal

import pytest
import torch

from pipelines.training.checkpoint import TrainingError, list_checkpoints
from tests.unit.processes import two_processes
from tests.unit.tiny_training import TinyTrainer, newest_state, run_tiny


def same(left, right):
    """Equal to the last bit, tensors inside nested containers included."""
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def test_ten_steps_equal_five_and_resume_and_five(tmp_path):
    torch.manual_seed(11)
    run_tiny(tmp_path / "whole", steps=10, noise=0.1)
    torch.manual_seed(11)
    run_tiny(tmp_path / "parts", steps=5, noise=0.1)
    torch.manual_seed(999)  # a new process would start with another state
    run_tiny(tmp_path / "parts", steps=10, noise=0.1)
    assert same(newest_state(tmp_path / "whole"), newest_state(tmp_path / "parts"))
    assert newest_state(tmp_path / "whole")["data"]["position"] == 40


def test_resume_from_a_named_checkpoint(tmp_path):
    run_tiny(tmp_path / "a", steps=4)
    named = list_checkpoints(tmp_path / "a" / "checkpoints")[-1]
    assert run_tiny(tmp_path / "b", steps=6, resume=named) == 6
    run_tiny(tmp_path / "a", steps=6)
    assert same(newest_state(tmp_path / "a")["trainer"], newest_state(tmp_path / "b")["trainer"])


def test_an_older_checkpoint_is_not_resumed_beside_later_ones(tmp_path):
    run_tiny(tmp_path, steps=6, checkpoint_every=2)
    older, later = list_checkpoints(tmp_path / "checkpoints")
    with pytest.raises(TrainingError, match=r"later steps than 4.*: step-00000006\.pt; move them away"):
        run_tiny(tmp_path, steps=5, resume=older)
    assert newest_state(tmp_path)["step"] == 6
    later.unlink()
    assert run_tiny(tmp_path, steps=5, resume=older) == 5
    assert newest_state(tmp_path)["step"] == 5


def test_another_config_is_refused_with_the_field(tmp_path):
    run_tiny(tmp_path, steps=2, config={"lr": 1e-2, "blocks": ((8, 8), (16,))})
    with pytest.raises(TrainingError, match=r"lr = 0\.01, this run asks for 0\.5"):
        run_tiny(tmp_path, steps=4, config={"lr": 0.5, "blocks": ((8, 8), (16,))})
    assert run_tiny(tmp_path, steps=4, config={"lr": 1e-2, "blocks": [[8, 8], [16]]}) == 4


def test_a_setting_that_came_later_had_its_default(tmp_path):
    run_tiny(tmp_path, steps=2, config={"lr": 1e-2})
    defaults = {"lr": 0.5, "pool": 50}
    with pytest.raises(TrainingError, match="pool = 50, this run asks for 7"):
        run_tiny(tmp_path, steps=4, config={"lr": 1e-2, "pool": 7}, defaults=defaults)
    with pytest.raises(TrainingError, match=r"lr = 0\.01, this run asks for 0\.5"):
        run_tiny(tmp_path, steps=4, config={"lr": 0.5, "pool": 50}, defaults=defaults)
    assert run_tiny(tmp_path, steps=4, config={"lr": 1e-2, "pool": 50}, defaults=defaults) == 4
    assert newest_state(tmp_path)["config"]["pool"] == 50


def test_interrupt_finishes_the_step_saves_and_returns(tmp_path):
    def press(step):
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    assert run_tiny(tmp_path, steps=10, on_step=press) == 3
    assert newest_state(tmp_path)["step"] == 3
    assert signal.getsignal(signal.SIGINT) is before
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["event"] == "interrupted"


def test_second_interrupt_stops_at_once(tmp_path):
    def press(step):
        if step == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, steps=10, on_step=press, checkpoint_every=2)
    assert newest_state(tmp_path)["step"] == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_stops_with_the_last_good_checkpoint(tmp_path, monkeypatch, value):
    step = TinyTrainer.step

    def diverge(self, batch):
        losses = step(self, batch)
        return {"loss": value} if self.steps == 6 else losses

    monkeypatch.setattr(TinyTrainer, "step", diverge)
    with pytest.raises(TrainingError, match=r"'loss' became (nan|inf) at step 6.*step-00000004\.pt"):
        run_tiny(tmp_path, steps=10, checkpoint_every=4)
    assert newest_state(tmp_path)["step"] == 4


def test_weights_that_became_nan_are_not_saved(tmp_path, monkeypatch):
    step = TinyTrainer.step

    def spoil(self, batch):
        losses = step(self, batch)
        if self.steps == 4:
            self.model.weight.data[0, 0] = float("nan")
        return losses

    monkeypatch.setattr(TinyTrainer, "step", spoil)
    with pytest.raises(TrainingError, match=r"weight'\] holds NaN.*step-00000002\.pt"):
        run_tiny(tmp_path, steps=10, checkpoint_every=2)
    assert newest_state(tmp_path)["step"] == 2


def test_full_disk_stops_with_the_last_good_checkpoint(tmp_path, monkeypatch):
    replace = os.replace

    def full(source, target):
        if "00000004" in str(target):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(TrainingError, match=r"could not write to .*No space left.*step-00000002\.pt"):
        run_tiny(tmp_path, steps=10, checkpoint_every=2)
    assert newest_state(tmp_path)["step"] == 2
    assert not list((tmp_path / "checkpoints").glob("*.tmp"))


def test_record_has_averages_and_previews(tmp_path):
    run_tiny(tmp_path, steps=4, log_every=2, preview_every=4, evaluate_every=4, evaluate=lambda: {"held_out": 0.5})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [2, 4]
    assert {"step": 4, "held_out": 0.5} in lines
    assert (tmp_path / "previews" / "step-00000004.png").is_file()


def test_two_processes_train_like_one(tmp_path):
    run_tiny(tmp_path / "one", steps=3)
    codes, errors = two_processes("tests.unit.tiny_training", tmp_path / "two")
    assert codes == [0, 0], errors
    one, two = newest_state(tmp_path / "one"), newest_state(tmp_path / "two")
    assert len(two["random"]) == 2
    assert one["data"] == two["data"]
    for name, value in one["trainer"]["model"].items():
        torch.testing.assert_close(two["trainer"]["model"][name], value, rtol=1e-6, atol=1e-7)


def test_two_processes_stop_together_when_one_diverges(tmp_path):
    _, errors = two_processes("tests.unit.tiny_training", tmp_path, "diverge")
    for error in errors:
        assert "TrainingError: loss 'loss' became nan at step 2" in error
