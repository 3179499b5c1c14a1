"""CUT and CycleGAN on two processes: they take the steps that one process takes on the whole batch."""

import json
import os
import subprocess
import sys

import pytest
import torch

from pipelines import CUTPipeline
from pipelines.training.checkpoint import list_checkpoints, load_checkpoint
from tests.unit.processes import ROOT, free_port, two_processes
from tests.unit.tiny_unpaired import LR, take_steps, write_data

VARIANTS = ("cut", "fastcut", "external", "separate", "cyclegan")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    codes, errors = two_processes("tests.unit.tiny_unpaired", folder, *VARIANTS)
    assert codes == [0, 0], errors
    return folder


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_and_weights_are_those_of_one_process(found, variant):
    alone = take_steps(variant)
    first, second = (torch.load(found / f"{variant}-{rank}.pt") for rank in range(2))
    for network in {name.split(".")[0] for name in alone}:
        own = {name: value for name, value in alone.items() if name.startswith(f"{network}.")}
        largest = max(value.abs().max().item() for name, value in own.items() if name.endswith(".grad"))
        assert largest > 0
        for name, value in own.items():
            assert torch.equal(first[name], second[name]), name
            if name.endswith(".grad"):
                torch.testing.assert_close(first[name], value, rtol=0, atol=1e-3 * largest, msg=name)
            elif not name.endswith("bias"):  # Adam makes steps of rounding where a norm follows a bias
                assert ((first[name] - value).abs() > 0.05 * LR).float().mean() < 0.01, name


def test_launched_run_writes_its_pipelines_once(tmp_path):
    data = write_data(tmp_path / "data")
    words = (
        "--preset cyclegan --pool-size 1 --base-channels 4 --num-blocks 1 --discriminator-channels 4 --crop-size 24"
    )
    words += " --load-size 28 --epochs 1 --decay-epochs 1 --batch-size 2"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]  # accelerate asks for MPI here
    command += ["--master_port", str(free_port()), "-m", "pipelines", "train", "cut", "--data", str(data)]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "run"), *words.split()],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the generator after 4 steps") == 2
    for name in ("pipeline", "pipeline_b2a"):
        assert CUTPipeline.from_pretrained(tmp_path / "run" / name).generator.config["base_channels"] == 4
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in log if "event" in line] == ["start", "finished"]
    assert log[0]["processes"] == 2
    state = load_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1])
    assert len(state["random"]) == 2
    first, second = (pools["a"]["pictures"][0] for pools in state["trainer"]["pools"])
    assert not torch.equal(first, second)
