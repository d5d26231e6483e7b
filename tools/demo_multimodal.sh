#!/usr/bin/env bash
# Video, audio and text in miniature: trains on scenes of the generated world, then tests on
# scenes that were not in training.
#   tools/demo_multimodal.sh stage2|clip|audio|audio_visual|qa|qa_choice [OUT] [SEED]
# OUT: default work_dirs/demo_multimodal, which all tasks may share.  SEED: of the world and of the
# training.  Questions are also answered by models that do not see the videos; those with options
# start from the models of qa.  A training that is done is not run again.
set -euo pipefail

task=${1:-stage2}
out=${2:-work_dirs/demo_multimodal}
seed=${3:-0}
case $task in
    stage2 | clip | audio | audio_visual | qa | qa_choice) ;;
    *)
        echo "usage: $0 stage2|clip|audio|audio_visual|qa|qa_choice [OUT] [SEED]" >&2
        exit 2
        ;;
esac
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
# A folder for each seed: a world of another seed would take the place of the one that is there.
export INTERNVIDEO2_DATA_PATH=$out/data_$seed
export INTERNVIDEO2_MODEL_PATH=$out/checkpoints_$seed
python=${PYTHON:-python}
root=$(cd "$(dirname "$0")/.." && pwd)

# learn NAME CONFIG [KEY=VALUE ...]: trains with these changes, tests, prints the metrics
learn() {
    local folder=$out/${1}_$seed config=$root/configs/internvideo2/$2
    shift 2
    if [[ ! -f $folder/trained ]]; then
        "$python" "$root/tools/train.py" "$config" --work-dir "$folder" --resume auto \
            --cfg-options "randomness.seed=$seed" "$@"
        touch "$folder/trained"
    fi
    if ! "$python" "$root/tools/test.py" "$config" "$(cat "$folder/last_checkpoint")" \
        --work-dir "$folder/test" ${1:+--cfg-options "$@"} >"$folder/test.log" 2>&1; then
        cat "$folder/test.log" >&2
        exit 1
    fi
    echo "$folder:"
    grep -oE '\w+_(emb|sim|dsl|match|test) \(.*|(qa|choice)/accuracy(_[a-z]+)?: *[0-9.]+' \
        "$folder/test.log"
}

# learn_to_choose SUFFIX [KEY=VALUE ...]: goes on from the model of qa with the same suffix
learn_to_choose() {
    local suffix=$1
    shift
    mkdir -p "$INTERNVIDEO2_MODEL_PATH"
    cp "$(cat "$out/qa${suffix}_$seed/last_checkpoint")" "$INTERNVIDEO2_MODEL_PATH/tiny_qa.pth"
    learn "qa_choice$suffix" qa/tiny_synthetic_mc.py "$@"
}

"$python" "$root/tools/data/make_synthetic.py" "$INTERNVIDEO2_DATA_PATH/synthetic_scenes" \
    --tasks captions qa sounds --num-train 2400 --num-val 50 --num-test 50 --seed "$seed"
case $task in
    clip | stage2) learn "$task" "$task/tiny_synthetic.py" ;;
    audio | audio_visual) learn "$task" "stage2/tiny_synthetic_$task.py" ;;
    qa*)
        learn qa qa/tiny_synthetic.py
        learn qa_blind qa/tiny_synthetic.py model.blind=True
        ;;
esac
if [[ $task == qa_choice ]]; then
    learn_to_choose ''
    learn_to_choose _blind model.blind=True
fi
