#!/usr/bin/env bash
# UniFormerV2 in miniature, from random weights: for each seed, a world of its own is generated, the
# model is trained on it and tested on looks that were not in training.
#   tools/demo_uniformerv2.sh [OUT] [SEEDS]
# OUT: default work_dirs/demo_uniformerv2.  SEEDS: default "0 1 2", of the world and of the training.
# A training that is done is not run again.
set -euo pipefail

out=${1:-work_dirs/demo_uniformerv2}
read -ra seeds <<<"${2:-0 1 2}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
python=${PYTHON:-python}
root=$(cd "$(dirname "$0")/.." && pwd)
config=$root/configs/internvideo1/uniformerv2/tiny_synthetic.py

for seed in "${seeds[@]}"; do
    # A folder for each seed: a world of another seed would take the place of the one that is there.
    export INTERNVIDEO2_DATA_PATH=$out/data_$seed
    folder=$out/seed_$seed
    "$python" "$root/tools/data/make_synthetic.py" "$INTERNVIDEO2_DATA_PATH/synthetic" --seed "$seed"
    if [[ ! -f $folder/trained ]]; then
        "$python" "$root/tools/train.py" "$config" --work-dir "$folder" --resume auto \
            --cfg-options "randomness.seed=$seed"
        touch "$folder/trained"
    fi
    if ! "$python" "$root/tools/test.py" "$config" "$(cat "$folder/last_checkpoint")" \
        --work-dir "$folder/test" >"$folder/test.log" 2>&1; then
        cat "$folder/test.log" >&2
        exit 1
    fi
    echo "seed $seed, held out: $(grep -o 'acc/top1: *[0-9.]*' "$folder/test.log" | tail -n 1)"
done
