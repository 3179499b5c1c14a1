"""Networks and pictures small enough for a test."""

import numpy as np
import torch
from PIL import Image

from pipelines import CUTPipeline, DeepI2IPipeline, DeepI2IStyleGANPipeline, OEFTPipeline
from pipelines.cut.networks import ResnetGenerator
from pipelines.deepi2i.adaptor import DeepI2IAdaptor
from pipelines.deepi2i.encoder import DeepI2IEncoder
from pipelines.deepi2i.stylegan import StyleGANAdaptor, StyleGANEncoder
from pipelines.networks.biggan import BigGANGenerator
from pipelines.networks.stylegan import StyleGANGenerator
from pipelines.networks.vgg import VGGBackbone
from pipelines.oeft.domain import DomainStatistics
from pipelines.oeft.priors import prior_of
from pipelines.oeft.settings import OEFTSettings

TINY_SETTINGS = OEFTSettings(num_steps=3, size=32, grid=8, render_grid=8)
TINY_REFINING = {"hypotheses": [[2, 3], [4, 2], [4, 4]], "num_draws": 8, "num_steps": 4, "drop_ratio": 0}
TINY_CLASSES = ["pug", "mongoose", "red fox", "fox squirrel", "12", "meer_kat", "Panda"]  # two have no name
TINY_SIZES = {"resolution": 32, "base_channels": 4, "attention_resolution": 16}
TINY_WIDTHS = (8, 6, 4, 3)  # of a StyleGAN of 32 pixels


def tiny_oeft(seed: int = 0) -> OEFTPipeline:
    """An OEFT pipeline whose backbone has two small blocks; its weights depend on `seed` alone."""
    backbone = VGGBackbone(blocks=((4,), (8,)), taps=("relu1_1", "relu2_1"))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    pipe = OEFTPipeline(backbone=backbone)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_refining_oeft(seed: int = 0) -> OEFTPipeline:
    """A `tiny_oeft` with a BigGAN of 32 pixels as its prior and statistics of a few of its pictures."""
    pipe = tiny_oeft(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        prior = BigGANGenerator(num_classes=2, latent_dim=16, embedding_dim=8, **TINY_SIZES).eval()
    domain = DomainStatistics(channels=4, tap="relu1_1", size=32)
    codes = prior_of(prior).draw(16, seeded(seed))
    with torch.no_grad():
        samples = prior(codes, prior.embedding(torch.zeros(16, dtype=torch.long)))
    domain.measure(pipe.backbone, [samples], "samples of the prior", reach=1e6)
    pipe = OEFTPipeline(pipe.backbone, prior, domain, refine_settings=TINY_REFINING)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_generator(seed: int = 0, **config) -> ResnetGenerator:
    """A ResNet generator of four channels whose results are colorful; its weights depend on `seed` alone."""
    network = ResnetGenerator(**{"base_channels": 4, "num_blocks": 2, **config})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return network


def tiny_cut(seed: int = 0, **config) -> CUTPipeline:
    """A CUT pipeline with a `tiny_generator`."""
    pipe = CUTPipeline(tiny_generator(seed, **config))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    """A smooth, colorful picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of one seed."""
    return torch.Generator().manual_seed(seed)


def tiny_deepi2i(seed: int = 0, level_weights=None, **config) -> DeepI2IPipeline:
    """A DeepI2I pipeline for 32 pixels and seven classes; its weights depend on `seed` alone."""
    config = {"num_classes": 9, "latent_dim": 16, "embedding_dim": 8, **TINY_SIZES, **config}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = BigGANGenerator(**config)
        encoder = DeepI2IEncoder(**{name: config[name] for name in TINY_SIZES}, levels=(16, 8, 4))
        channels = encoder.channels()
        adaptor = DeepI2IAdaptor(
            levels=tuple(channels),
            in_channels=tuple(channels.values()),
            out_channels=tuple(generator.channels()[level] for level in channels),
        )
        for network in (generator, encoder, adaptor):
            for name, tensor in network.named_buffers():
                if name.endswith("running_mean"):
                    tensor.normal_(std=0.1)
    pipe = DeepI2IPipeline(encoder, adaptor, generator, TINY_CLASSES, level_weights)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_deepi2i_stylegan(seed: int = 0, level_weights=None) -> DeepI2IStyleGANPipeline:
    """A pipeline of DeepI2I's StyleGAN variant for 32 pixels; its weights depend on `seed` alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = StyleGANGenerator(TINY_WIDTHS, latent_dim=6, mapping_layers=2)
        encoder = StyleGANEncoder(TINY_WIDTHS, levels=(16, 8, 4))
        adaptor = StyleGANAdaptor((16, 8, 4), tuple(encoder.channels().values()))
        with torch.no_grad():
            generator.mean_style.normal_()
            generator.head.weight.mul_(0.2)  # keeps most of a picture within [-1, 1]
            for block in generator.blocks:
                block.style1.noise_strength.normal_()
                block.style2.noise_strength.normal_()
    pipe = DeepI2IStyleGANPipeline(encoder.eval(), adaptor.eval(), generator.eval(), level_weights)
    pipe.set_progress_bar_config(disable=True)
    return pipe
