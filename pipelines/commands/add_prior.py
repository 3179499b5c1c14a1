"""`python -m pipelines add-prior`: an OEFT checkpoint that refines its warps with a GAN."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands import UsageError
from pipelines.commands.training_card import training_card

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.oeft.domain import DomainStatistics
    from pipelines.oeft.pipeline import OEFTPipeline

_TRAINING = """\
The generator was trained apart; `{prior}` is what it was called. Mean and covariance of the backbone's layer `{tap}`
come from {num_images} {origin}. {share:.0%} of the generator's own pictures are nearer to them than {reach:.3g}:
beyond that, what a refinement gives is taken for a picture of another domain."""
_BATCH = 50
_REACH = 0.95  # share of the prior's own pictures within the reach


def add_parser(subparsers: Any) -> None:
    """Add `add-prior` to the commands."""
    parser = subparsers.add_parser(
        "add-prior",
        help="make an OEFT checkpoint that refines its warps with a GAN",
        description="Write an OEFT pipeline with the backbone of CHECKPOINT, the generator of --prior, and the "
        "statistics of its domain: of photographs where --data is given, else of the generator's own pictures.",
    )
    parser.add_argument("checkpoint", help="an OEFT checkpoint: id, folder or Hub id")
    parser.add_argument(
        "--prior", type=Path, required=True, metavar="FOLDER", help="what `train biggan` or `convert` wrote"
    )
    parser.add_argument("--prior-class", type=int, default=0, metavar="N", help="class of the GAN (default: 0)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--data", type=Path, nargs="+", help="folders that hold a folder of pictures of the domain")
    parser.add_argument("--held-out", type=float, default=0.1, metavar="X", help="share of them to leave out (0.1)")
    parser.add_argument("--split-seed", type=int, default=0, metavar="N", help="which those are (default: 0)")
    parser.add_argument("--samples", type=int, default=500, metavar="N", help="of the generator (default: 500)")
    parser.add_argument("--tap", help="layer of the backbone (default: its first)")
    parser.add_argument(
        "--size", type=int, default=128, metavar="N", help="side of what it sees, pixels (default: 128)"
    )
    parser.add_argument("--shrinkage", type=float, default=0.5, metavar="X", help="of a picture's covariance (0.5)")
    parser.add_argument(
        "--refine-settings",
        type=json.loads,
        metavar="JSON",
        help="defaults of refinement, such as '{\"num_steps\": 80}'",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the samples (default: 0)")
    parser.add_argument("--half", action="store_true", help="write the generator in half precision")
    parser.add_argument("--license", metavar="ID", help="of the weights, for the model card")
    parser.add_argument("--overwrite", action="store_true", help="replace DIR if it holds a pipeline")


def run(args: argparse.Namespace) -> int:
    """Measure the domain and write the pipeline.

    Returns:
        0.

    Raises:
        UsageError: a value is out of its range.
        CheckpointError: the checkpoint cannot be loaded.
        ConversionError: the output folder is taken.
    """
    import torch

    from pipelines import OEFTPipeline
    from pipelines.conversion.output import check_free, whole_folder
    from pipelines.oeft.domain import DomainStatistics

    if args.samples < 2:
        raise UsageError(f"--samples is {args.samples}; at least 2 are needed.")
    check_free(args.output, overwrite=args.overwrite)
    base = OEFTPipeline.from_pretrained(args.checkpoint, dtype=torch.float32)
    generator = read_generator(args.prior)
    if args.half:
        generator = generator.half().float()  # the statistics are those of what is written
    tap = args.tap or base.backbone.taps[0]
    try:
        pipe = OEFTPipeline(
            base.backbone,
            generator,
            preset=base.config["preset"],
            prior_class=args.prior_class,
            refine_settings=args.refine_settings,
        )
        samples = list(sample(pipe, args.samples, args.seed))
        channels = pipe.backbone(samples[0][:1], taps=(tap,))[tap].shape[1]
        domain = DomainStatistics(channels, tap, args.size, args.shrinkage)
    except (ValueError, KeyError) as error:
        raise UsageError(f"{error}") from error
    measure(domain, pipe, samples, args)
    pipe = OEFTPipeline(
        pipe.backbone, pipe.prior, domain, pipe.config["preset"], args.prior_class, args.refine_settings
    )
    if args.half:
        pipe.prior.half()
    with whole_folder(args.output, overwrite=args.overwrite) as folder:
        pipe.save_pretrained(folder)
        (folder / "README.md").write_text(_card(args, domain), encoding="utf-8")
    config = domain.config
    print(f"{args.output}: {config['num_images']} {config['origin']}, reach {config['reach']:.3g}")
    return 0


def read_generator(folder: Path) -> Any:
    """The generator of a GAN's folder, in evaluation mode and fp32.

    Raises:
        UsageError: there is none, it is of another kind, or its weights do not fit.
    """
    from pipelines.oeft.priors import GENERATORS
    from pipelines.training.checkpoint import TrainingError
    from pipelines.training.pretrained_gan import load_network

    path = folder / "generator"
    try:
        name = json.loads((path / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError) as error:
        raise UsageError(f"--prior {folder} holds no generator/config.json that can be read: {error}.") from error
    if name not in GENERATORS:
        raise UsageError(f"--prior {folder} holds a {name}; accepted are {', '.join(GENERATORS)}.")
    try:
        return load_network(GENERATORS[name], path).eval()
    except TrainingError as error:
        raise UsageError(f"--prior cannot be used: {error}") from error


def sample(pipe: OEFTPipeline, count: int, seed: int) -> Any:
    """Yield the prior's own pictures, (B, 3, R, R) in [-1, 1], in batches."""
    import torch

    from pipelines.oeft.priors import prior_of

    prior = prior_of(pipe.prior, pipe.config["prior_class"])
    layer = min(prior.layers)
    source = torch.Generator().manual_seed(seed)
    for begin in range(0, count, _BATCH):
        codes = prior.draw(min(_BATCH, count - begin), source)
        with torch.no_grad():
            yield prior.tail(prior.head(codes, layer), codes, layer).clamp(-1, 1)


def measure(domain: DomainStatistics, pipe: OEFTPipeline, samples: list[Tensor], args: argparse.Namespace) -> None:
    """Fill the statistics, and find how far the prior's own pictures reach."""
    import torch

    batches, origin = samples, "of the generator's own pictures"
    if args.data:
        batches, origin = photographs(args, samples[0].shape[-1]), "photographs"
    with torch.no_grad():
        domain.measure(pipe.backbone, batches, origin, reach=0.0)
        distances = [value for batch in samples for value in domain.distance(pipe.backbone, batch)]
    domain.register_to_config(reach=torch.tensor(distances).quantile(_REACH).item())


def photographs(args: argparse.Namespace, size: int) -> Any:
    """Yield the photographs that are not left out, at the prior's resolution, in batches."""
    from pipelines.training.datasets import find_labeled_images, load_images, split_held_out

    files = find_labeled_images(args.data, ())
    kept, _ = split_held_out(files, args.held_out, args.split_seed)
    images = load_images(kept, sorted({file.class_name for file in files}), size).images
    for batch in images.split(_BATCH):
        yield batch.float() / 127.5 - 1


def _card(args: argparse.Namespace, domain: DomainStatistics) -> str:
    config = domain.config
    return training_card(
        title=args.output.resolve().name,
        tags=["exemplar-based-translation", "oeft", "gan-inversion"],
        purpose="Gives a picture the look of another one, and refines the result with a GAN of one domain.",
        pipeline="OEFTPipeline",
        folder=args.output.resolve().name,
        arguments='"source.jpg", exemplar="exemplar.jpg"',
        training=_TRAINING.format(
            prior=args.prior.resolve().name,
            tap=config["tap"],
            num_images=config["num_images"],
            origin=config["origin"],
            share=_REACH,
            reach=config["reach"],
        ),
        config={name: config[name] for name in ("tap", "size", "shrinkage", "num_images", "reach")},
        license_id=args.license,
    )
