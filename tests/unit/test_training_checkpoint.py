import pickle
import random
import resource
import signal

import numpy as np
import pytest
import torch

from pipelines.training.checkpoint import (
    TrainingError,
    list_checkpoints,
    load_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)


def test_only_the_newest_stay(tmp_path):
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, step, {"step": step, "weights": torch.full((2,), float(step))})
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000010.pt", "step-00000015.pt"]
    assert load_checkpoint(list_checkpoints(tmp_path)[-1])["weights"].tolist() == [15, 15]


def test_the_file_just_written_stays_beside_later_ones(tmp_path):
    for step in (600, 800, 400):
        path = save_checkpoint(tmp_path, step, {"step": step})
    assert load_checkpoint(path)["step"] == 400
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000400.pt", "step-00000800.pt"]


def test_objects_are_refused_with_their_place(tmp_path):
    with pytest.raises(TrainingError, match=r"state\['a'\]\[1\] is a PosixPath"):
        save_checkpoint(tmp_path, 1, {"a": [1.0, tmp_path]})
    assert not list(tmp_path.iterdir())


def test_pickled_code_is_not_run(tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "touched"), "w"))

    path = tmp_path / "step-00000001.pt"
    path.write_bytes(pickle.dumps(Attack(), protocol=2))
    with pytest.raises(TrainingError, match=r"step-00000001\.pt cannot be read"):
        load_checkpoint(path)
    assert not (tmp_path / "touched").exists()


def test_a_real_write_error_keeps_the_old_checkpoint(tmp_path):
    save_checkpoint(tmp_path, 1, {"weights": torch.ones(10)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_checkpoint(tmp_path, 2, {"weights": torch.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.pt"]


def test_random_state_goes_through_a_file(tmp_path):
    def draw():
        return random.random(), random.gauss(), np.random.rand(), np.random.randn(), torch.rand(2).tolist()  # noqa: NPY002

    outside = random_state()
    try:
        random.gauss()  # leaves a cached second value behind
        path = save_checkpoint(tmp_path, 0, random_state())
        first = draw()
        set_random_state(load_checkpoint(path))
        assert draw() == first
    finally:
        set_random_state(outside)
