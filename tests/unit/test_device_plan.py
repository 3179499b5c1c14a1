"""Choice of the device, memory budgets, and the plan itself."""

import pytest
import torch
from torch import nn

from pipelines.hub import device_plan
from pipelines.hub.device_plan import make_plan, memory_budgets, parse_max_memory, pick_device

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        device_plan.accelerate_modeling, "get_max_memory", lambda given=None: given or {0: 800, 1: 600, "cpu": 1000}
    )
    monkeypatch.delenv("TRANSLATION_HUB_DEVICE", raising=False)
    monkeypatch.delenv("TRANSLATION_HUB_MAX_MEMORY", raising=False)


def test_pick_device_prefers_cuda_then_mps(two_gpus, monkeypatch):
    assert pick_device() == CUDA
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device() == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device() == CPU


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1"])
def test_the_environment_overrides_the_device(two_gpus, monkeypatch, name):
    monkeypatch.setenv("TRANSLATION_HUB_DEVICE", name)
    assert pick_device() == torch.device(name)


@pytest.mark.parametrize("name", ["cuda:2", "gpu", "mps"])
def test_a_device_that_is_not_here_is_refused(two_gpus, monkeypatch, name):
    monkeypatch.setenv("TRANSLATION_HUB_DEVICE", name)
    with pytest.raises(ValueError, match=f"TRANSLATION_HUB_DEVICE is '{name}'; the devices here are cuda:0, cuda:1, "):
        pick_device()


def test_budgets_are_half_of_the_free_memory_of_the_chosen_devices(two_gpus):
    assert memory_budgets(CUDA) == {0: 400, 1: 300, "cpu": 500}
    assert memory_budgets(torch.device("cuda", 1)) == {1: 300, "cpu": 500}
    assert list(memory_budgets(CPU)) == ["cpu"]


def test_given_budgets_replace_the_detected_ones(two_gpus, monkeypatch, caplog):
    monkeypatch.setenv("TRANSLATION_HUB_MAX_MEMORY", "0:1KiB, cpu:2KB")
    assert memory_budgets(CUDA) == {0: 1024, 1: 300, "cpu": 2000}
    assert memory_budgets(CUDA, {1: 7}) == {0: 400, 1: 7, "cpu": 500}
    assert not caplog.records
    assert memory_budgets(CPU)["cpu"] == 2000  # a duplicated Space keeps the variable and loses the GPU
    assert "device 0 is ignored" in caplog.text


@pytest.mark.parametrize("text", ["4GiB", "0:lots", "gpu:4GiB", "0:4GiB;cpu:8GiB", "0:"])
def test_a_budget_that_cannot_be_read_is_refused(text):
    with pytest.raises(ValueError, match="The memory budget names .*; accepted are items such as '0:4GiB'"):
        parse_max_memory(text)


def test_a_network_is_never_split():
    network = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))  # 2176 bytes
    plan = make_plan({"one": frozenset("a")}, {"a": network}, {0: 2000, "cpu": 9999})
    assert plan.placement == {"a": "cpu"}
    assert plan.home == {"one": "cpu"}
    assert plan.resident == {"a"}


def test_an_empty_application_has_an_empty_plan():
    plan = make_plan({}, {}, {"cpu": 1})
    assert (plan.placement, plan.home, plan.resident) == ({}, {}, frozenset())
