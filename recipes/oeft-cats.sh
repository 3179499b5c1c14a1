#!/bin/sh
# Makes weights/oeft-cats again: recipes/oeft-cats.sh DATA
#
# DATA holds one folder, afhq-cat, with 2,200 aligned cat faces of AFHQ (CC BY-NC 4.0), 128 px. Blurred shapes first, as the
# decoder of an autoencoder; then the GAN; then the statistics of the photographs' features. Seed 0. Run it again to go on
# after a break: it resumes exactly. The weights that ship were stopped by hand at the steps that their card names.
set -eu
REFINE='{"hypotheses": [[2, 10], [4, 5], [4, 10]], "compare_size": 8, "lambda_perceptual": 0, "lambda_structure": 0.1}'
START=runs/cats-autoencoder GAN=runs/cats OUT=runs/oeft-cats

python -m pipelines train autoencoder --data "$1" --output "$START" --steps 2400 --base-channels 20 --max-channels 160 \
    --latent-dim 80 --embedding-dim 16
python -m pipelines train biggan --data "$1" --init "$START/gan" --backbone oeft-starter --output "$GAN" --steps 3000 \
    --batch-size 32 --lr-generator 1e-4 --discriminator-warmup 60 --ema-decay 0.995
python -m pipelines add-prior oeft-starter --prior "$GAN/gan" --data "$1" --output "$OUT" --tap relu3_2 --half \
    --refine-settings "$REFINE" --license cc-by-nc-4.0 --overwrite

# The backbone is the one of weights/oeft-starter: checkpoints.json says so.
for part in prior domain model_index.json; do
    cp -r "$OUT/$part" weights/oeft-cats/
done
python -m pipelines pin oeft-cats
