#!/bin/sh
# Makes weights/deepi2i-animals again: recipes/deepi2i-animals.sh CATS HEADS
#
# Needs runs/cats of recipes/oeft-cats.sh. CATS is its folder afhq-cat (CC BY-NC 4.0). HEADS holds a folder each of
# three more kinds: abyssinian-or-bengal and bulldog (heads of Oxford-IIIT Pet, CC BY-SA 4.0), cougar (Caltech-101's cougar_face,
# CC BY 4.0). Cats are sorted by coat; the cats' GAN learns the twelve classes; DeepI2I comes from it. Seed 0. Run it again to go
# on after a break: it resumes exactly. The weights that ship were stopped by hand at the steps that stand here.
set -eu
CLASSES=runs/coats FIRST=runs/animals-first GAN=runs/animals-gan FIRST_TRANSFER=runs/animals-transfer RUN=runs/animals

[ -d "$CLASSES" ] || { python recipes/cat_coats.py "$1" runs/cats/split.json "$CLASSES.part" && mv "$CLASSES.part" "$CLASSES"; }
python -m pipelines train biggan --data "$CLASSES/train" "$2" --init runs/cats/gan --backbone oeft-starter --output "$FIRST" \
    --steps 1906 --batch-size 32 --lr-generator 1e-4 --discriminator-warmup 60 --ema-decay 0.995
# Classes that begin alike stay alike for long, the more so where augmentation changes colors, which are what coats differ by.
python -m pipelines train biggan --data "$CLASSES/train" "$2" --init "$FIRST/gan" --backbone oeft-starter --output "$GAN" \
    --steps 1487 --batch-size 32 --lr-generator 1e-4 --embedding-rate 20 --augmentation translation,cutout --ema-decay 0.995
python -m pipelines train deepi2i --data "$CLASSES/train" "$2" --init "$GAN/gan" --output "$FIRST_TRANSFER" --steps 2137 \
    --batch-size 32 --adaptor-steps 1000 --levels 32,16,8 --level-weights 1,1,1 --reconstruction-weights 0.2,2,2 \
    --augmentation translation,cutout --ema-decay 0.995 --half
# Clearer classes, at the price of some likeness.
python -m pipelines train deepi2i --data "$CLASSES/train" "$2" --init "$FIRST_TRANSFER/pipeline" --output "$RUN" --steps 1016 \
    --batch-size 32 --adaptor-steps 0 --reconstruction-weights 0.05,0.4,0.4 --augmentation translation,cutout \
    --ema-decay 0.995 --half --license cc-by-nc-4.0 --class-titles recipes/animal_titles.json

for part in encoder adaptor generator model_index.json; do
    cp -r "$RUN/pipeline/$part" weights/deepi2i-animals/
done
python -m pipelines pin deepi2i-animals
