#!/usr/bin/env bash
# Pretraining (or distillation) on the generated world, then
#   pretrain, distill               fine-tuning, beside training the same model from scratch for as
#                                   many epochs in all;
#   attentive_probe, linear_probe   probing what was pretrained, beside probing a random encoder.
#   tools/demo_pretrain.sh pretrain|distill|attentive_probe|linear_probe [OUT]
# OUT: default work_dirs/demo_pretrain, which all tasks may share.
# A step whose checkpoint is there is not run again.
set -euo pipefail

task=${1:-pretrain}
out=${2:-work_dirs/demo_pretrain}
case $task in
    pretrain | attentive_probe | linear_probe) first=pretrain checkpoint=tiny_pretrained.pth ;;
    distill) first=distill checkpoint=tiny_distilled.pth ;;
    *)
        echo "usage: $0 pretrain|distill|attentive_probe|linear_probe [OUT]" >&2
        exit 2
        ;;
esac
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
export INTERNVIDEO2_DATA_PATH=${INTERNVIDEO2_DATA_PATH:-$out/data}
export INTERNVIDEO2_MODEL_PATH=$out/checkpoints
python=${PYTHON:-python}
root=$(cd "$(dirname "$0")/.." && pwd)
configs=$root/configs/internvideo2
mkdir -p "$INTERNVIDEO2_MODEL_PATH"

# run NAME EPOCHS CONFIG [arguments of tools/train.py]
run() {
    local name=$1 epochs=$2 config=$3
    shift 3
    if [[ ! -f $out/$name/epoch_$epochs.pth ]]; then
        "$python" "$root/tools/train.py" "$config" --work-dir "$out/$name" --resume auto "$@"
    fi
}

# keep NAME EPOCHS FILE: a checkpoint where the configs look for it
keep() {
    cp "$out/$1/epoch_$2.pth" "$INTERNVIDEO2_MODEL_PATH/$3"
}

# score NAME EPOCHS CONFIG: one line with the held-out accuracy
score() {
    local line
    line=$("$python" "$root/tools/test.py" "$3" "$out/$1/epoch_$2.pth" --work-dir "$out/$1/test" \
        --cfg-options model.init_cfg=None 2>&1 | grep -o 'acc/top1: *[0-9.]*' | tail -n 1)
    echo "$1: ${line:-no result, see $out/$1/test}"
}

"$python" "$root/tools/data/make_synthetic.py" "$INTERNVIDEO2_DATA_PATH/synthetic"
run tiny_teacher 28 "$configs/tiny_synthetic.py" --cfg-options train_cfg.val_interval=28
keep tiny_teacher 28 tiny_teacher.pth
if [[ $first == pretrain ]]; then
    run tiny_mae_teacher 28 "$configs/pretrain/tiny_synthetic_mae_teacher.py" \
        --cfg-options train_cfg.val_interval=28
    keep tiny_mae_teacher 28 tiny_mae_teacher.pth
fi
run "$first" 4 "$configs/$first/tiny_synthetic.py"
keep "$first" 4 "$checkpoint"
score tiny_teacher 28 "$configs/tiny_synthetic.py"
if [[ $task == *_probe ]]; then
    probe=$configs/$task/tiny_synthetic.py
    run "$task" 4 "$probe" --cfg-options train_cfg.val_interval=4
    run "${task}_random" 4 "$probe" --cfg-options model.init_cfg=None train_cfg.val_interval=4
    score "$task" 4 "$probe"
    score "${task}_random" 4 "$probe"
    exit
fi
finetune=$configs/$task/tiny_synthetic_finetune.py
run "${task}_finetune" 2 "$finetune"
run "${task}_scratch" 6 "$finetune" \
    --cfg-options train_cfg.max_epochs=6 model.init_cfg=None train_cfg.val_interval=6
score "${task}_finetune" 2 "$finetune"
score "${task}_scratch" 6 "$finetune"
