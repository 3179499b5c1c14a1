"""What a call makes, as it is made: the call runs in a thread of its own, and its callback hands things over."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

T, R = TypeVar("T"), TypeVar("R")
_END = object()


def stream(call: Callable[[Callable[[T], bool]], R]) -> Generator[T, None, R]:
    """Yield what a call hands over, and return what it returns; what it raises passes through.

    Args:
        call: gets a function `hand_over(item)`, which returns whether nobody listens any more. When this generator is
            closed, it waits until the call has ended.
    """
    items: SimpleQueue = SimpleQueue()
    closed = Event()

    def hand_over(item: T) -> bool:
        items.put(item)
        return closed.is_set()

    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(call, hand_over)
        future.add_done_callback(lambda _: items.put(_END))
        try:
            while (item := items.get()) is not _END:
                yield item
            return future.result()
        finally:
            closed.set()
