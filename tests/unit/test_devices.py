"""The device manager with fake memory budgets, on the CPU: `cuda:N` is a name here, moves are recorded."""

import copy
import threading
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pipelines.hub import device_plan, devices
from pipelines.hub.components import ComponentShape
from pipelines.hub.devices import DeviceManager

KIB = 1024


class Network(nn.Module):
    """`size` KiB of weights in two layers, which the plan must not separate."""

    def __init__(self, size: int):
        super().__init__()
        self.first = nn.Linear(size * 64, 2, bias=False)
        self.second = nn.Linear(2, size * 64, bias=False)

    def forward(self, x):
        return self.second(self.first(x))


class World:
    """Pipelines of tiny networks: `{pipeline: {component: (key, KiB)}}`."""

    def __init__(self, pipelines):
        self.pipelines = pipelines
        self.loads = []

    def describe(self, checkpoint_id):
        with torch.device("meta"):
            return {
                name: ComponentShape(key, Network(size)) for name, (key, size) in self.pipelines[checkpoint_id].items()
            }

    def load(self, checkpoint_id, **given):
        networks = self.pipelines[checkpoint_id].items()
        self.loads.append((checkpoint_id, sorted(given)))
        return SimpleNamespace(components={n: given.get(n) or Network(s) for n, (_, s) in networks}, scheduler="none")


@pytest.fixture
def manage(monkeypatch):
    """Build a manager of some pipelines with budgets in KiB; `manager.moves` records `(KiB, device)`."""

    def build(pipelines, budgets, **options):
        budgets = {device: size * KIB for device, size in budgets.items()}
        monkeypatch.setattr(
            device_plan.accelerate_modeling, "get_max_memory", lambda given=None: dict(given or budgets)
        )
        monkeypatch.setattr(devices, "_torch_device", lambda key: torch.device("cpu"))
        world = World(pipelines)
        accelerator = "mps" if "mps" in budgets else "cuda" if 0 in budgets else "cpu"
        manager = DeviceManager(
            load=options.pop("load", world.load),
            describe=world.describe,
            max_memory=budgets,
            device=torch.device(accelerator),
        )
        for name in pipelines:
            manager.add(name)
        manager.world = world
        return manager

    return build


def states(manager):
    return {row.component: (row.device, row.state, row.loaded_on) for row in manager.report()}


TWO = {"one": {"net": ("a", 4)}, "two": {"net": ("b", 4), "head": ("c", 2)}}


def test_everything_is_resident_where_there_is_room(manage):
    manager = manage(TWO, {0: 100, "cpu": 100})
    assert manager.device_map() == {"one.net": "cuda:0", "two.net": "cuda:0", "two.head": "cuda:0"}
    assert states(manager)["one.net"] == ("cuda:0", "resident", None)  # planned, and nothing loaded yet
    assert manager.world.loads == []
    for name in ("one", "two", "one"):
        with manager.use(name):
            pass
    assert states(manager) == dict.fromkeys(["one.net", "two.net", "two.head"], ("cuda:0", "resident", "cuda:0"))
    assert manager.world.loads == [("one", []), ("two", [])]


def test_resident_components_are_moved_once(manage, monkeypatch):
    manager = manage(TWO, {0: 100, "cpu": 100})
    moved = []
    monkeypatch.setattr(Network, "to", lambda self, *args: moved.append(self) or self)
    for name in ("one", "two", "one", "two"):
        with manager.use(name):
            pass
    assert len(moved) == len({id(module) for module in moved}) == 3


def test_what_does_not_fit_is_there_only_while_its_pipeline_has_the_device(manage):
    manager = manage(
        {"one": {"net": ("a", 4)}, "two": {"net": ("b", 4)}, "three": {"net": ("c", 3)}}, {0: 8, "cpu": 100}
    )
    assert manager.device_map() == {"one.net": "cuda:0", "two.net": "cpu", "three.net": "cpu"}
    with manager.use("one"), pytest.raises(StopIteration):
        raise StopIteration
    with manager.use("two"):
        assert [row.loaded_on for row in manager.report()] == ["cuda:0", "cuda:0", None]
    with manager.use("three") as pipe:
        assert [row.loaded_on for row in manager.report()] == ["cuda:0", "cpu", "cuda:0"]
        assert not hasattr(pipe.components["net"], "_hf_hook")
    with manager.use("one"):
        assert [row.loaded_on for row in manager.report()] == ["cuda:0", "cpu", "cpu"]


def test_residents_give_way_to_a_pipeline_that_needs_the_whole_device(manage):
    manager = manage({"one": {"net": ("a", 3)}, "two": {"net": ("b", 3), "head": ("c", 3)}}, {0: 6, "cpu": 100})
    assert manager.device_map() == {"one.net": "cuda:0", "two.net": "cpu", "two.head": "cpu"}
    with manager.use("one"):
        pass
    with manager.use("two"):
        assert [row.loaded_on for row in manager.report()] == ["cpu", "cuda:0", "cuda:0"]
    with manager.use("one"):
        assert [row.loaded_on for row in manager.report()] == ["cuda:0", "cpu", "cpu"]


def test_a_pipeline_too_large_for_the_gpu_computes_on_the_cpu(manage):
    manager = manage({"big": {"net": ("a", 5), "head": ("b", 5)}, "small": {"net": ("c", 1)}}, {0: 7, "cpu": 100})
    for name, where in (("big", "cpu"), ("small", "cuda:0"), ("big", "cpu")):
        with manager.use(name):
            rows = [row for row in manager.report() if name in row.pipelines]
            assert {row.loaded_on for row in rows} == {where}


def test_a_waiting_network_carries_a_hook_and_a_used_one_can_be_copied(manage):
    manager = manage(
        {"one": {"net": ("a", 4)}, "two": {"net": ("b", 4)}, "three": {"net": ("c", 4)}}, {0: 8, "cpu": 99}
    )
    with manager.use("two") as pipe:
        network = pipe.components["net"]
    with manager.use("three"):
        assert hasattr(network, "_hf_hook")
    with manager.use("two"):
        assert not hasattr(network, "_hf_hook")
        duplicate = copy.deepcopy(network)
        x = torch.ones(1, 256)
        before = network(x).detach().clone()
        optimizer = torch.optim.SGD(duplicate.parameters(), lr=1.0)
        duplicate(x).square().sum().backward()
        optimizer.step()
        assert torch.equal(network(x), before)
        assert not torch.equal(duplicate(x), before)
        assert all(parameter.grad is None for parameter in network.parameters())


def test_shared_components_are_counted_and_loaded_once(manage):
    manager = manage({"one": {"net": ("a", 4)}, "two": {"body": ("a", 4), "head": ("c", 2)}}, {0: 6, "cpu": 100})
    assert [(row.component, row.bytes, row.pipelines) for row in manager.report()] == [
        ("one.net", 4 * KIB, ("one", "two")),
        ("two.head", 2 * KIB, ("two",)),
    ]
    with manager.use("one") as one, pytest.raises(KeyError):
        raise KeyError(one)
    with manager.use("two") as two:
        assert two.components["body"] is one.components["net"]
    assert manager.world.loads == [("one", []), ("two", ["body"])]


def test_the_same_object_under_two_keys_becomes_one_component(manage):
    network = Network(4)
    manager = manage(
        {"one": {"net": ("a", 4)}, "two": {"net": ("b", 4)}},
        {0: 100, "cpu": 100},
        load=lambda checkpoint_id, **given: SimpleNamespace(components={"net": network}),
    )
    assert len(manager.report()) == 2
    for name in ("one", "two"):
        with manager.use(name):
            pass
    assert [row.pipelines for row in manager.report()] == [("one", "two")]


def test_with_several_gpus_a_pipeline_lies_wholly_on_one(manage):
    pipelines = {
        "one": {"net": ("a", 4), "head": ("b", 4)},
        "two": {"net": ("c", 4), "head": ("d", 4)},
        "three": {"net": ("c", 4), "tail": ("e", 1)},
        "four": {"net": ("f", 9)},
    }
    manager = manage(pipelines, {0: 18, 1: 10, "cpu": 100})
    planned = manager.device_map()
    assert planned["one.net"] == planned["one.head"] == "cuda:0"
    assert {planned[f"two.{name}"] for name in ("net", "head")} == {"cuda:1"}  # never apart
    assert {planned[f"three.{name}"] for name in ("net", "tail")} == {"cuda:1"}  # shares a network with `two`
    assert planned["four.net"] == "cpu"
    for name, gpu in (("one", "cuda:0"), ("two", "cuda:1"), ("three", "cuda:1"), ("four", "cuda:0")):
        with manager.use(name):
            assert {row.loaded_on for row in manager.report() if name in row.pipelines} == {gpu}


def test_what_fits_nowhere_is_dropped_and_loaded_again(manage):
    manager = manage(TWO, {"cpu": 6})
    assert set(manager.device_map().values()) == {"disk"}
    for name in ("one", "two", "one"):
        with manager.use(name):
            assert {row.component.split(".")[0] for row in manager.report() if row.loaded_on} == {name}
    assert [name for name, _ in manager.world.loads] == ["one", "two", "one"]


def test_on_mps(manage):
    manager = manage(TWO, {"mps": 100})
    with manager.use("two"):
        assert states(manager)["two.head"] == ("mps", "resident", "mps")


def test_the_real_cpu_needs_no_budget():
    world = World(TWO)
    manager = DeviceManager(load=world.load, describe=world.describe, device=torch.device("cpu"))
    with manager.use("two") as pipe:
        assert next(pipe.components["net"].parameters()).device.type == "cpu"
    assert manager.device_map() == {"two.net": "cpu", "two.head": "cpu"}
    assert not torch.is_inference_mode_enabled()


def test_weights_loaded_for_a_caller_in_inference_mode_can_be_optimized(manage):
    manager = manage(TWO, {"cpu": 100})
    with torch.inference_mode(), manager.use("one") as pipe:
        assert torch.is_inference_mode_enabled()
    assert not any(parameter.is_inference() for parameter in pipe.components["net"].parameters())


def test_one_call_at_a_time_also_when_the_block_ends_in_another_thread(manage):
    manager = manage(TWO, {"cpu": 100})
    order = []

    def steps(name):
        with manager.use(name):
            order.append(f"{name} in")
            yield
            order.append(f"{name} out")

    run = steps("one")
    next(run)
    waiting = threading.Thread(target=lambda: list(steps("two")))
    waiting.start()
    finishing = threading.Thread(target=lambda: list(run))
    finishing.start()
    finishing.join()
    waiting.join()
    assert order == ["one in", "one out", "two in", "two out"]


def test_the_lock_is_released_when_loading_or_the_call_fails(manage):
    def fail(checkpoint_id, **given):
        raise OSError("no such weights")

    manager = manage(TWO, {"cpu": 100}, load=fail)
    with pytest.raises(OSError, match="no such weights"), manager.use("one"):
        pass
    manager._load = manager.world.load
    with pytest.raises(ZeroDivisionError), manager.use("one"):
        raise ZeroDivisionError
    with manager.use("one"):
        pass


def test_a_move_that_runs_out_of_memory_is_made_good(manage, monkeypatch):
    manager = manage(TWO, {0: 100, "cpu": 100})
    to, failures = Network.to, [True, False, False]

    def move(self, *args):
        if failures.pop(0):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return to(self, *args)

    monkeypatch.setattr(Network, "to", move)
    with pytest.raises(torch.OutOfMemoryError), manager.use("two"):
        pass
    with manager.use("two"):
        assert [row.loaded_on for row in manager.report()] == [None, "cuda:0", "cuda:0"]


def test_the_report_does_not_wait_for_a_call_in_flight(manage):
    manager = manage(TWO, {"cpu": 100})
    with manager.use("one"):
        assert len(manager.report()) == 3


def test_pipelines_may_be_added_during_a_call(manage, monkeypatch):
    """Another thread's `add` may fall between any two lookups: here it falls before each one in turn."""
    monkeypatch.setattr(devices, "clear_device_cache", lambda **options: None)  # slow
    late = {"late": {"net": ("d", 1)}}
    for moment in range(1, 1000):
        manager = manage(TWO, {0: 7, "cpu": 100})
        manager.world.pipelines = TWO | late
        with manager.use("one"):
            pass
        lookups = 0

        def look_up(component, name, moment=moment, manager=manager):
            nonlocal lookups
            lookups += 1
            if lookups == moment:
                manager.add("late")
            return object.__getattribute__(component, name)

        with monkeypatch.context() as patch:
            patch.setattr(devices._Component, "__getattribute__", look_up)
            with manager.use("two"):
                pass
        if lookups < moment:
            break
        assert "late.net" in manager.device_map()
    assert moment > 20  # the call looks that many things up
