"""`python -m pipelines convert`: a pipeline folder from a checkpoint of a method's authors."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.commands import UsageError

METHODS = {
    "cut": ("CUTPipeline", "pipelines.cut.convert", "CUT, FastCUT or CycleGAN: a ResNet generator"),
    "sincut": ("SinCUTPipeline", "pipelines.sincut.convert", "SinCUT: a generator of the StyleGAN2 type"),
}
NETWORK_METHODS = {
    "deepi2i": "DeepI2I: the folder of G.pth, D.pth, E1.pth and A1.pth, or a file of its StyleGAN variant",
    "biggan": "BigGAN-PyTorch: G_ema.pth or G.pth, and D.pth beside it, as a GAN that `train deepi2i --init` takes",
    "pggan": "PGGAN as mGANprior stores it, such as pggan_bedroom256_generator.pth",
    "stylegan": "StyleGAN as mGANprior stores it, such as stylegan_bedroom256_generator.pth",
}


def add_parser(subparsers: Any) -> None:
    """Add `convert` to the commands."""
    parser = subparsers.add_parser(
        "convert",
        help="make a pipeline folder from a checkpoint of the authors' code",
        description="Write the networks of SOURCE as a pipeline folder that from_pretrained loads. No code of a "
        "file is run; a file that does not fit is refused with a list of all that is wrong.",
    )
    methods = {name: row[2] for name, row in METHODS.items()} | NETWORK_METHODS
    parser.add_argument(
        "method", choices=methods, help="; ".join(f"{name}: {description}" for name, description in methods.items())
    )
    parser.add_argument(
        "--source", type=Path, required=True, metavar="PATH", help="a file such as latest_net_G.pth, or a folder"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--half", action="store_true", help="write the weights in half precision (fp16)")
    parser.add_argument("--overwrite", action="store_true", help="replace DIR if it holds a pipeline")
    many = parser.add_argument_group("deepi2i and biggan")
    many.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="names of the first classes, which the authors' files lack: a JSON list, a JSON object of numbers by "
        "name, or one name a line",
    )
    many.add_argument(
        "--resolution",
        type=int,
        default=256,
        metavar="N",
        help="of the StyleGAN variant, whose files do not tell it (default: 256)",
    )


def run(args: argparse.Namespace) -> int:
    """Convert one checkpoint.

    Returns:
        0.

    Raises:
        UsageError: an option is not one of this method.
        ConversionError: the file cannot be converted, or the folder is taken; nothing is written.
    """
    if args.method in NETWORK_METHODS:
        from pipelines.commands import convert_networks

        return convert_networks.run(args)
    if args.classes is not None:
        raise UsageError(f"--classes is given, and networks of {args.method} have none: leave it out.")
    import pipelines
    from pipelines.conversion.output import check_free, precision, readme, usage, whole_folder
    from pipelines.conversion.reader import read_state_dict
    from pipelines.conversion.report import check_finite
    from pipelines.hub.verify import file_sha256

    pipeline_name, module, _ = METHODS[args.method]
    check_free(args.output, overwrite=args.overwrite)
    generator = import_module(module).convert_generator(read_state_dict(args.source), args.source.name)
    if args.half:
        generator = generator.half()
        check_finite(generator, args.source.name)
    pipe = getattr(pipelines, pipeline_name)(generator)
    text = readme(
        {args.source.name: file_sha256(args.source)}, pipeline_name, usage(pipeline_name), precision(args.half)
    )
    with whole_folder(args.output, overwrite=args.overwrite) as folder:
        pipe.save_pretrained(folder)
        (folder / "README.md").write_text(text, encoding="utf-8")
    config = ", ".join(f"{name} {value}" for name, value in generator.config.items() if not name.startswith("_"))
    print(f"{args.output}: a {pipeline_name} with a {type(generator).__name__}: {config}")
    return 0
