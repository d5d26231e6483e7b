#!/usr/bin/env bash
# VideoMAE on the generated world: pretraining without labels, then fine-tuning from five labelled
# clips a class, beside the same fine-tuning from scratch.  Prints a table of held-out accuracies.
#   tools/demo_videomae.sh [OUT] [SEEDS]
# OUT: default work_dirs/demo_videomae.  SEEDS: of worlds and trainings, default "0 1 2".
# A step whose checkpoint is there is not run again.
set -euo pipefail

out=${1:-work_dirs/demo_videomae}
seeds=${2:-0 1 2}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
python=${PYTHON:-python}
root=$(cd "$(dirname "$0")/.." && pwd)
configs=$root/configs/internvideo1

# train NAME CONFIG [KEY=VALUE ...]: into $out/NAME_$seed, unless that is done
train() {
    local folder=$out/${1}_$seed config=$configs/$2
    shift 2
    if [[ ! -f $folder/trained ]]; then
        mkdir -p "$folder"
        if ! "$python" "$root/tools/train.py" "$config" --work-dir "$folder" --resume auto \
            --cfg-options "randomness.seed=$seed" "$@" >"$folder/train.log" 2>&1; then
            tail -n 20 "$folder/train.log" >&2
            exit 1
        fi
        touch "$folder/trained"
    fi
}

# score NAME: held-out accuracy of what train made
score() {
    local folder=$out/${1}_$seed
    "$python" "$root/tools/test.py" "$configs/videomae/tiny_synthetic.py" \
        "$(cat "$folder/last_checkpoint")" --work-dir "$folder/test" \
        --cfg-options model.init_cfg=None >"$folder/test.log" 2>&1 ||
        { tail -n 20 "$folder/test.log" >&2; exit 1; }
    grep -oE 'acc/top1: *[0-9.]+' "$folder/test.log" | tail -n 1 | grep -oE '[0-9.]+$'
}

mkdir -p "$out"
rows=()
for seed in $seeds; do
    export INTERNVIDEO2_DATA_PATH=$out/data_$seed INTERNVIDEO2_MODEL_PATH=$out/checkpoints_$seed
    mkdir -p "$INTERNVIDEO2_MODEL_PATH"
    "$python" "$root/tools/data/make_synthetic.py" "$INTERNVIDEO2_DATA_PATH/synthetic" \
        --size 48 --num-frames 16 --num-train 600 --num-val 8 --num-test 160 --seed "$seed"
    lists=$INTERNVIDEO2_DATA_PATH/synthetic/recognition
    awk -F, 'seen[$2]++ < 5' "$lists/train.csv" >"$lists/few.csv"
    train pretrain pretrain/tiny_synthetic.py
    cp "$(cat "$out/pretrain_$seed/last_checkpoint")" "$INTERNVIDEO2_MODEL_PATH/tiny_videomae.pth"
    train finetune videomae/tiny_synthetic.py
    train scratch videomae/tiny_synthetic.py model.init_cfg=None
    rows+=("$seed $(score finetune) $(score scratch)")
done
printf '%s\n' "${rows[@]}" | awk '
    BEGIN { print "| seed | pretrained | from scratch | gain |"; print "|---|---|---|---|" }
    { printf "| %s | %.1f | %.1f | %+.1f |\n", $1, $2, $3, $2 - $3; p += $2; s += $3 }
    END { printf "| mean | %.1f | %.1f | %+.1f |\n", p / NR, s / NR, (p - s) / NR }'
