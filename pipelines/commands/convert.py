"""`python -m pipelines convert`: a pipeline folder from a checkpoint of a method's authors."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

METHODS = {
    "cut": ("CUTPipeline", "pipelines.cut.convert", "CUT, FastCUT or CycleGAN: a ResNet generator"),
    "sincut": ("SinCUTPipeline", "pipelines.sincut.convert", "SinCUT: a generator of the StyleGAN2 type"),
}


def add_parser(subparsers: Any) -> None:
    """Add `convert` to the commands."""
    parser = subparsers.add_parser(
        "convert",
        help="make a pipeline folder from a checkpoint of the authors' code",
        description="Write the generator of SOURCE as a pipeline folder that from_pretrained loads. No code of the "
        "file is run; a file that does not fit is refused with a list of all that is wrong.",
    )
    parser.add_argument(
        "method", choices=METHODS, help="; ".join(f"{name}: {row[2]}" for name, row in METHODS.items())
    )
    parser.add_argument("--source", type=Path, required=True, metavar="FILE", help="such as latest_net_G.pth")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--half", action="store_true", help="write the weights in half precision (fp16)")
    parser.add_argument("--overwrite", action="store_true", help="replace DIR if it holds a pipeline")


def run(args: argparse.Namespace) -> int:
    """Convert one file.

    Returns:
        0.

    Raises:
        ConversionError: the file cannot be converted, or the folder is taken; nothing is written.
    """
    import pipelines
    from pipelines.conversion.output import check_free, readme, whole_folder
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
    precision = "rounded to half precision" if args.half else "in fp32"
    text = readme(args.source.name, file_sha256(args.source), pipeline_name, precision)
    with whole_folder(args.output, overwrite=args.overwrite) as folder:
        pipe.save_pretrained(folder)
        (folder / "README.md").write_text(text, encoding="utf-8")
    config = ", ".join(f"{name} {value}" for name, value in generator.config.items() if not name.startswith("_"))
    print(f"{args.output}: a {pipeline_name} with a {type(generator).__name__}: {config}")
    return 0
