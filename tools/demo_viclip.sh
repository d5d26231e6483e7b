#!/usr/bin/env bash
# ViCLIP in miniature: trains on scenes of the generated world, half of the patches masked, then
# finds held-out videos by their captions and captions by their videos.
#   tools/demo_viclip.sh [OUT] [SEEDS]
# OUT: default work_dirs/demo_viclip.  SEEDS: of world and training, default "0 1 2".  A training
# that is done is not run again.
set -euo pipefail

out=${1:-work_dirs/demo_viclip}
seeds=${2:-0 1 2}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
python=${PYTHON:-python}
root=$(cd "$(dirname "$0")/.." && pwd)
config=$root/configs/internvideo1/viclip/tiny_synthetic.py

for seed in $seeds; do
    folder=$out/seed_$seed
    # A folder for each seed: a world of another seed would take the place of the one that is there.
    export INTERNVIDEO2_DATA_PATH=$out/data_$seed
    "$python" "$root/tools/data/make_synthetic.py" "$INTERNVIDEO2_DATA_PATH/synthetic_scenes" \
        --tasks captions --num-train 2400 --num-val 50 --num-test 50 --seed "$seed"
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
    echo "seed $seed, recall among 50 captions and 50 videos that were not in training:"
    grep -oE '\w+_(emb|test) \(.*' "$folder/test.log"
done
