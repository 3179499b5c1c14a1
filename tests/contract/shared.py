"""What several pipelines promise alike."""

import threading
from collections.abc import Callable

import torch
from torch import Tensor


def assert_threads_do_not_disturb(make: Callable, one: Callable[..., Tensor]) -> None:
    """Two calls of one pipeline side by side, step by step, give what they give alone.

    Args:
        make: a new pipeline, always the same.
        one: `one(pipe, index, **kwargs)` gives the images of the call 0 or 1, in as many steps each.
    """
    alone = [one(make(), index) for index in range(2)]
    pipe, together = make(), [None, None]
    meet = threading.Barrier(2, timeout=60)

    def wait(*_):
        meet.wait()

    def work(index):
        wait()
        together[index] = one(pipe, index, callback_on_step_end=wait)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(got, wanted) for got, wanted in zip(together, alone, strict=True))


def assert_changed_weights_count(make: Callable, call: Callable, component: str) -> None:
    """Weights that are loaded into a component, or a component that is set, count in the next call.

    Args:
        make: `make()` and `make(seed=1)` are pipelines of different weights.
        call: `call(pipe)` gives an output with `.images`.
        component: its name.
    """
    pipe, other = make(), make(seed=1)
    before = call(pipe).images
    getattr(pipe, component).load_state_dict(getattr(other, component).state_dict())
    changed = call(pipe).images
    assert not torch.equal(changed, before)
    fresh = make()
    setattr(fresh, component, getattr(other, component))
    assert torch.equal(call(fresh).images, changed)
