"""One pair of images on its way through OEFT."""

import torch
from torch import Tensor

from pipelines.images.formats import ReadImage, to_output
from pipelines.oeft.fine_tuning import Backbone, FineTuning, FineTuningStep
from pipelines.oeft.output import CorrespondenceLookup, OEFTOutput
from pipelines.oeft.rendering import render
from pipelines.oeft.settings import OEFTSettings


class OEFTRun:
    """Call `step` until `done`, or until you have seen enough; then `result`. Made by `OEFTPipeline.start`.

    The run owns copies of the networks: runs next to each other, in any threads, know nothing of each other.

    Attributes:
        source: The image that gives the structure, as it was read.
        exemplar: The image that gives the style, as it was read.
        settings: What the run works with.
    """

    def __init__(
        self,
        backbone: Backbone,
        source: ReadImage,
        exemplar: ReadImage,
        settings: OEFTSettings,
        generator: torch.Generator,
    ):
        self.source, self.exemplar, self.settings = source, exemplar, settings
        self._fine_tuning = FineTuning(backbone, source.pixels[None], exemplar.pixels[None], settings, generator)

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self._fine_tuning.num_steps

    @property
    def best_step(self) -> int:
        """How many updates the best networks so far have seen."""
        return self._fine_tuning.best_step

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self._fine_tuning.done

    def step(self) -> FineTuningStep:
        """Do one step of fine-tuning; see `FineTuning.step`."""
        return self._fine_tuning.step()

    def warped(self) -> Tensor | None:
        """The newest warp, (1, 3, h, w) of working size, range [-1, 1]; None before the first step."""
        return self._fine_tuning.warped

    def result(self, output_type: str = "pil") -> OEFTOutput:
        """The warp by the best networks so far, at the source's size.

        Args:
            output_type: "pil", "np" or "pt".
        """
        descriptors = self._fine_tuning.descriptors(self.settings.render_grid)
        size = (self.source.height, self.source.width)
        picture = render(descriptors, self.exemplar.pixels[None], size, self.settings.alpha)[0]
        lookup = CorrespondenceLookup(
            descriptors.stored(), self.settings.alpha, size, (self.exemplar.height, self.exemplar.width)
        )
        images = to_output([picture.cpu()], output_type)
        return OEFTOutput(
            images=images, warped=images, lookups=[lookup], notes=[(*self.source.notes, *self.exemplar.notes)]
        )
