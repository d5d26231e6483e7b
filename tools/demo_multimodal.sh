#!/usr/bin/env bash
# Pictures, sound and text in miniature: trains on scenes of the generated world, then tests on
# scenes that were not in training.
#   tools/demo_multimodal.sh stage2|clip|audio|audio_visual|qa|qa_choice [OUT] [SEED]
# OUT: default work_dirs/demo_multimodal, which all tasks may share.  SEED: of the world and of the
# training.  Questions are also answered by a model that does not see the videos.  A step that is done
# is not run again.
set -euo pipefail

task=${1:-stage2}
out=${2:-work_dirs/demo_multimodal}
seed=${3:-0}
case $task in
    stage2 | clip) config=$task/tiny_synthetic.py ;;
    audio | audio_visual) config=stage2/tiny_synthetic_$task.py ;;
    qa) config=qa/tiny_synthetic.py ;;
    qa_choice) config=qa/tiny_synthetic_mc.py ;;
    *)
        echo "usage: $0 stage2|clip|audio|audio_visual|qa|qa_choice [OUT] [SEED]" >&2
        exit 2
        ;;
esac
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
export INTERNVIDEO2_DATA_PATH=${INTERNVIDEO2_DATA_PATH:-$out/data_$seed}
python=${PYTHON:-python}
root=$(cd "$(dirname "$0")/.." && pwd)

# learn NAME [KEY=VALUE ...]: trains with these changes of the config, tests, prints the figures
learn() {
    local folder=$out/${1}_$seed
    shift
    if [[ ! -f $folder/trained ]]; then
        "$python" "$root/tools/train.py" "$root/configs/internvideo2/$config" --work-dir "$folder" \
            --resume auto --cfg-options "randomness.seed=$seed" "$@"
        touch "$folder/trained"
    fi
    "$python" "$root/tools/test.py" "$root/configs/internvideo2/$config" \
        "$(cat "$folder/last_checkpoint")" --work-dir "$folder/test" \
        ${1:+--cfg-options "$@"} >"$folder/test.log" 2>&1 || { cat "$folder/test.log" >&2; exit 1; }
    echo "$folder:"
    grep -oE '\w+_(emb|sim|dsl|match|test) \(.*|(qa|choice)/accuracy(_[a-z]+)?: *[0-9.]+' \
        "$folder/test.log"
}

"$python" "$root/tools/data/make_synthetic.py" "$INTERNVIDEO2_DATA_PATH/synthetic_scenes" \
    --tasks captions qa sounds --num-train 2400 --num-val 50 --num-test 50 --seed "$seed"
learn "$task"
if [[ $task == qa* ]]; then
    learn "${task}_blind" model.blind=True
fi
