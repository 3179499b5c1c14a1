"""A tiny checkpoint with a GAN, for refinement in the Exemplar tab."""

from pathlib import Path

import torch

from pipelines import OEFTPipeline
from pipelines.networks.biggan import BigGANGenerator
from pipelines.networks.vgg import VGGBackbone
from pipelines.oeft.domain import DomainStatistics
from pipelines.oeft.priors import prior_of

HYPOTHESES = [[2, 3], [4, 2], [6, 2]]


def save_refining(folder: Path, reach: float = 1e6) -> None:
    """Save a checkpoint whose GAN makes 64 pixels and.

    Args:
        folder: of the pipeline.
        reach: distance beyond which a result is taken to be of another domain.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = VGGBackbone(blocks=((8,), (8,), (16,)), taps=("relu2_1", "relu3_1"))
        prior = BigGANGenerator(
            num_classes=1, latent_dim=20, embedding_dim=8, resolution=64, base_channels=4, attention_resolution=8
        ).eval()
        samples = prior(
            prior_of(prior).draw(8, torch.Generator().manual_seed(0)), prior.embedding.weight.expand(8, -1)
        )
    domain = DomainStatistics(channels=8, tap="relu2_1", size=32)
    domain.measure(backbone, [samples.detach()], "samples of the GAN", reach=reach)
    settings = {"hypotheses": HYPOTHESES, "num_steps": 6, "drop_ratio": 0}
    OEFTPipeline(backbone, prior, domain, refine_settings=settings).save_pretrained(folder)
