#!/bin/sh
# Makes weights/cut-apple2orange again: recipes/cut-apple2orange.sh DATA
#
# DATA holds trainA (apples), trainB (oranges and satsumas) and testA of the Grocery Store dataset, short side 144.
# 7,800 steps of 128-pixel crops, seed 0. Run it again to go on after a break: it resumes exactly.
set -eu
RUN=runs/cut-apple2orange

python -m pipelines train cut --preset cut --data "$1" --output "$RUN" \
    --base-channels 32 --crop-size 128 --load-size 143 --resize short_side --epochs 20 --decay-epochs 10 \
    --no-nce-identity --lambda-nce 3 --precision bf16 --compile --half

python - "$RUN/pipeline/generator" weights/cut-apple2orange <<'PYTHON'
import sys

from pipelines import CUTPipeline
from pipelines.cut.networks import ResnetGenerator

generator, output = sys.argv[1:]
CUTPipeline(ResnetGenerator.from_pretrained(generator).half(), size=256).save_pretrained(output)
PYTHON
python -m pipelines pin cut-apple2orange
