"""How long a run of the Exemplar tab has still to go, over both of its stages."""

import time
from collections.abc import Mapping

_REFINING: dict[str, float] = {}  # seconds of a step of refinement by checkpoint, as it was last seen here


class StageClock:
    """Times the steps of a run.

    A stage that has not begun is taken to be as slow as it was in the last run with the checkpoint, and in the first
    run as the stage before it.

    Args:
        checkpoint: its id.
        num_steps: of the stages "warp" and "refine".
    """

    def __init__(self, checkpoint: str, num_steps: Mapping[str, int]):
        self.checkpoint, self.num_steps = checkpoint, num_steps
        self.done = dict.fromkeys(num_steps, 0)
        self.spent = dict.fromkeys(num_steps, 0.0)
        self.began = self.last = time.monotonic()

    def tick(self, stage: str) -> None:
        """A step of this stage is done."""
        now = time.monotonic()
        self.done[stage] += 1
        self.spent[stage] += now - self.last
        self.last = now
        if stage == "refine":
            _REFINING[self.checkpoint] = self._pace(stage)

    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.began

    def seconds_left(self) -> float:
        """Until the last step of the last stage; there was a step already."""
        return sum((self.num_steps[stage] - self.done[stage]) * self._pace(stage) for stage in self.num_steps)

    def _pace(self, stage: str) -> float:
        """Seconds of one step."""
        if self.done[stage]:
            return self.spent[stage] / self.done[stage]
        unknown = sum(self.spent.values()) / sum(self.done.values())
        return _REFINING.get(self.checkpoint, unknown) if stage == "refine" else unknown
