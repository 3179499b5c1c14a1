import json
import signal

import pytest
import torch
from PIL import Image

from pipelines import CUTPipeline
from pipelines.commands import UsageError
from pipelines.cut.trainer import CUTTrainer
from pipelines.training.checkpoint import list_checkpoints, load_checkpoint
from tests.unit.test_train_command import call
from tests.unit.tiny_training import newest_state
from tests.unit.tiny_unpaired import write_data, write_pictures

SIZES = ["--base-channels", 4, "--num-blocks", 1, "--discriminator-channels", 4, "--crop-size", 24, "--load-size", 28]
NCE = ["--nce-layers", "input,block1", "--num-patches", 8]
SCHEDULE = ["--epochs", 1, "--decay-epochs", 1]


@pytest.fixture
def data(tmp_path):
    data = write_data(tmp_path / "data")
    write_pictures(data / "testA", 2, seed=3, size=(50, 40))
    (data / "testA" / "torn.png").write_bytes(b"x")
    return data


def words(data, output, *more):
    return ["cut", "--data", data, "--output", output, *SIZES, *SCHEDULE, *more]


def test_from_folders_to_a_pipeline(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert call(*words(data, run, *NCE, "--preset", "fastcut", "--license", "cc-by-4.0")) == 0
    said = capsys.readouterr()
    assert "testA/torn.png" in said.err
    assert "5 pictures in trainA, 3 in trainB" in said.out
    pipe = CUTPipeline.from_pretrained(run / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    saved = newest_state(run)
    assert saved["step"] == 10
    for name, value in pipe.generator.state_dict().items():
        assert torch.equal(value, saved["trainer"]["ema"]["module"][name])
    assert pipe(Image.new("RGB", (37, 26)), precision="fp32").images[0].size == (37, 26)
    card = (run / "pipeline" / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    assert "on `data`: 5 pictures in `trainA`, 3 in\n`trainB`, 10 steps of 1 of each." in card
    record = json.loads((run / "training.json").read_text())
    assert record["config"]["flip_equivariance"]
    assert record["config"]["lambda_nce"] == 10
    assert Image.open(run / "previews" / "step-00000010.png").size == (48, 48)
    assert call(*words(data, run, *NCE, "--preset", "cut")) == 1
    assert "flip_equivariance = True, this run asks for False" in capsys.readouterr().err


def test_cyclegan_writes_both_directions(data, tmp_path):
    assert call(*words(data, tmp_path, "--preset", "cyclegan", "--half")) == 0
    saved = newest_state(tmp_path)["trainer"]["ema"]
    for folder, direction in (("pipeline", "a2b"), ("pipeline_b2a", "b2a")):
        generator = CUTPipeline.from_pretrained(tmp_path / folder).generator
        assert not generator.config["antialias_up"]
        assert torch.equal(generator.stem.weight, saved[direction]["module"]["stem.weight"].half())
    card = (tmp_path / "pipeline_b2a" / "README.md").read_text()
    assert "of the kind of `trainB` into pictures like those of `trainA`" in card
    assert card.startswith("---\nlibrary_name: diffusers\n")
    assert "Not stated." in card


def test_a_checkpoint_from_before_a_setting_existed_goes_on(data, tmp_path):
    assert call(*words(data, tmp_path, *NCE)) == 0
    path = list_checkpoints(tmp_path / "checkpoints")[-1]
    state = load_checkpoint(path)
    for name in ("method", "negatives", "share_encoder", "pool_size"):
        del state["config"][name]
    torch.save(state, path)
    assert call(*words(data, tmp_path, *NCE)) == 0
    assert call(*words(data, tmp_path, *NCE, "--no-share-encoder")) == 1


def test_interrupt_saves_and_writes_what_there_is(data, tmp_path, monkeypatch, capsys):
    step = CUTTrainer.step

    def press(self, batch):
        if self.steps_done == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, batch)

    monkeypatch.setattr(CUTTrainer, "step", press)
    assert call(*words(data, tmp_path, *NCE)) == 130
    assert "stopped and saved at step 3 of 10" in capsys.readouterr().out
    assert (tmp_path / "pipeline" / "model_index.json").is_file()
    monkeypatch.undo()
    assert call(*words(data, tmp_path, *NCE)) == 0
    assert newest_state(tmp_path)["step"] == 10


def test_failures_are_one_sentence(data, tmp_path, capsys):
    (data / "trainB").rename(data / "other")
    assert call(*words(data, tmp_path / "run", *NCE)) == 1
    assert "trainB is not a folder; expected are DIR/trainA and DIR/trainB" in capsys.readouterr().err
    with pytest.raises(UsageError, match="crop_size is 8; it must be at least 24"):
        call(*words(data, tmp_path / "run", "--crop-size", 8))
    with pytest.raises(UsageError, match="lambda_nce is 2.0; cyclegan has no such setting"):
        call(*words(data, tmp_path / "run", "--preset", "cyclegan", "--lambda-nce", 2))
    assert not (tmp_path / "run").exists()
