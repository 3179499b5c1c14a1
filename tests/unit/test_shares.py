"""Work that is divided among processes and outlives a broken run."""

import json
import os
import subprocess
import sys

import pytest
import torch

from pipelines.__main__ import main
from pipelines.metrics.shares import Rows, Shares
from tests.tiny import picture, tiny_cut, tiny_oeft
from tests.unit.processes import ROOT, free_port


class Squares:
    """Work on numbers; breaks off at one of them."""

    def __init__(self, broken=None):
        self.done, self.broken = [], broken

    def __call__(self, tasks):
        if self.broken in tasks:
            raise KeyboardInterrupt
        self.done += tasks
        kept = [task for task in tasks if task % 5]
        values = {"square": torch.tensor([[float(task) ** 2] for task in kept])} if kept else {}
        return Rows([str(task) for task in kept], values, [f"{task} is left out" for task in tasks if not task % 5])


def check(rows, count):
    kept = [task for task in range(count) if task % 5]
    assert rows.labels == [str(task) for task in kept]
    assert rows.values["square"].flatten().tolist() == [task**2 for task in kept]
    assert rows.skipped == [f"{task} is left out" for task in range(0, count, 5)]


def test_rows_come_in_the_order_of_the_tasks():
    work = Squares()
    check(Shares().rows(range(12), 5, {}, work), 12)
    assert work.done == list(range(12))
    assert Shares().rows([], 5, {}, work) == Rows([], {})


def test_a_broken_run_goes_on(tmp_path):
    shares, first, second = Shares(tmp_path / "work"), Squares(broken=9), Squares()
    with pytest.raises(KeyboardInterrupt):
        shares.rows(range(12), 1, {"set": 1}, first)
    check(shares.rows(range(12), 1, {"set": 1}, second), 12)
    assert second.done == [9, 10, 11]  # an empty chunk, that of 0, was kept too
    check(shares.rows(range(12), 1, {"set": 2}, second), 12)
    assert len(second.done) == 3 + 12


def test_a_damaged_chunk_is_worked_on_again(tmp_path):
    shares, work = Shares(tmp_path), Squares()
    shares.rows(range(12), 4, {}, work)
    first, second, _ = sorted(tmp_path.rglob("*.safetensors"))
    first.write_bytes(first.read_bytes()[:-3])
    second.write_bytes(b"")
    check(shares.rows(range(12), 4, {}, work), 12)
    assert work.done == [*range(12), *range(8)]
    assert not list(tmp_path.rglob("*.part"))


def test_two_processes_measure_what_one_does(tmp_path):
    tiny_oeft().save_pretrained(tmp_path / "extractor")
    tiny_cut().save_pretrained(tmp_path / "cut")
    for number, side in enumerate(("testA", "testB", "trainB")):
        (tmp_path / "data" / side).mkdir(parents=True)
        for index in range(11):
            picture(24, 20, number * 100 + index).save(tmp_path / "data" / side / f"{index}.png")
    (tmp_path / "data" / "testB" / "broken.png").write_bytes(b"x")
    words = ["evaluate", tmp_path / "cut", "--data", tmp_path / "data", "--metrics", "fid", "kid", "lpips"]
    words += ["--extractor", tmp_path / "extractor", "--size", 16, "--batch-size", 4, "--device", "cpu", "--output"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]  # accelerate asks for MPI here
    command += ["--master_port", free_port(), "-m", "pipelines", *words, tmp_path / "two.jsonl"]
    done = subprocess.run(
        [str(word) for word in [*command, "--work", tmp_path / "work"]],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert main([str(word) for word in [*words, tmp_path / "one.jsonl"]]) == 0
    one, two = (
        [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()] for name in ("one", "two")
    )
    assert len(one) == 7
    for alone, together in zip(one, two, strict=True):
        for line in (alone, together):
            del line["seconds"]
        assert alone == together
    assert done.stdout.count("comparable only with") == 1
    assert done.stderr.count("broken.png") == 1
    assert len(list((tmp_path / "work").iterdir())) == 4  # testA, testB, trainB, and the translations
