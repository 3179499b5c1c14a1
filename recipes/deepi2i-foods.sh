#!/bin/sh
# Makes weights/deepi2i-foods again: recipes/deepi2i-foods.sh DATA
#
# DATA holds a folder for each of 117 classes: 50 of the Grocery Store dataset (produce-*), 67 of Fruits-360 (f360-*).
# The pretrained GAN, then the transfer; seed 0. Run it again to go on after a break: it resumes exactly. The weights that
# ship were made so, but with spectral norms computed in bf16, half a per cent off; these come out a little different.
set -eu
GAN=runs/foods-gan RUN=runs/foods

python -m pipelines train biggan --data "$1" --output "$GAN" --steps 1635 --latent-dim 80 \
    --lr-generator 2e-4 --half
python -m pipelines train deepi2i --data "$1" --init "$GAN/gan" --output "$RUN" --steps 700 \
    --adaptor-steps 150 --lr-generator 2e-4 --level-weights 1,1,1,1 --reconstruction-weights 0.2,2,2,2 \
    --half --license cc-by-sa-4.0

for part in encoder adaptor generator model_index.json; do
    cp -r "$RUN/pipeline/$part" weights/deepi2i-foods/
done
python -m pipelines pin deepi2i-foods
