#!/bin/sh
# Makes weights/cut-horse2zebra again: recipes/cut-horse2zebra.sh DATA
#
# DATA is the horse2zebra set of CycleGAN (ImageNet photographs, 256 px): trainA and trainB, and testA for the previews.
# 21,088 steps of 128-pixel crops, seed 0. Run it again to go on after a break: it resumes exactly.
set -eu
RUN=runs/cut-horse2zebra

# Stronger than CUT's own weight of PatchNCE, and without its identity term: twice the steps in the same time.
python -m pipelines train cut --preset cut --data "$1" --output "$RUN" \
    --base-channels 32 --crop-size 128 --load-size 143 --epochs 11 --decay-epochs 5 \
    --no-nce-identity --lambda-nce 2 --precision bf16 --compile --half

# 192 pixels are between the training and the sharper 256: see the model card, which is kept.
python - "$RUN/pipeline/generator" weights/cut-horse2zebra <<'PYTHON'
import sys

from pipelines import CUTPipeline
from pipelines.cut.networks import ResnetGenerator

generator, output = sys.argv[1:]
CUTPipeline(ResnetGenerator.from_pretrained(generator).half(), size=192).save_pretrained(output)
PYTHON
python -m pipelines pin cut-horse2zebra
