#!/usr/bin/env bash
# The first InternVideo's multimodal model in miniature: trains contrast and captions together on
# scenes of the generated world, retrieves scenes that were not in training, and writes their
# captions.
#   tools/demo_multimodal_internvideo1.sh [OUT] [SEED] [KEY=VALUE ...]
# OUT: default work_dirs/demo_multimodal_internvideo1.  SEED: of the world and of the training.
# KEY=VALUE: changes to the config.  A training that is done is not run again.
set -euo pipefail

out=${1:-work_dirs/demo_multimodal_internvideo1}
seed=${2:-0}
shift $(($# < 2 ? $# : 2))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
export INTERNVIDEO2_DATA_PATH=$out/data_$seed
python=${PYTHON:-python}
root=$(cd "$(dirname "$0")/.." && pwd)
config=$root/configs/internvideo1/multimodal/tiny_synthetic.py
folder=$out/run_$seed
scenes=$INTERNVIDEO2_DATA_PATH/synthetic_scenes

"$python" "$root/tools/data/make_synthetic.py" "$scenes" \
    --tasks captions qa sounds --num-train 2400 --num-val 50 --num-test 50 --seed "$seed"
if [[ ! -f $folder/trained ]]; then
    "$python" "$root/tools/train.py" "$config" --work-dir "$folder" --resume auto \
        --cfg-options "randomness.seed=$seed" "$@"
    touch "$folder/trained"
fi
checkpoint=$(cat "$folder/last_checkpoint")
if ! "$python" "$root/tools/test.py" "$config" "$checkpoint" \
    --work-dir "$folder/test" ${1:+--cfg-options "$@"} >"$folder/test.log" 2>&1; then
    cat "$folder/test.log" >&2
    exit 1
fi
grep -oE '\w+_(emb|sim|dsl|match|test) \(.*' "$folder/test.log"
"$python" - "$scenes" <<'PYTHON' >"$folder/held_out.txt"
import json
import sys
from pathlib import Path

scenes = Path(sys.argv[1], 'scenes')
for row in json.loads((scenes / 'captions/test.json').read_text())[:8]:
    print(scenes / row['video'])
PYTHON
"$python" "$root/tools/caption.py" "$config" "$folder/held_out.txt" \
    --checkpoint "$checkpoint" --workers 0 ${1:+--cfg-options "$@"}
