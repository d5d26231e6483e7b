#!/usr/bin/env bash
# Test under SLURM, one task per GPU.
#   tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [arguments of tools/test.py]
# GPUS (8) in all, GPUS_PER_NODE (min(8, GPUS)), CPUS_PER_TASK (5), SRUN_ARGS for anything else.
# GPUS_PER_NODE=0 runs GPUS tasks on CPUs, spread as SRUN_ARGS says.
set -euo pipefail

if [[ $# -lt 4 ]]; then
    echo "usage: $0 PARTITION JOB CONFIG CHECKPOINT [arguments of tools/test.py]" >&2
    exit 2
fi
partition=$1 job=$2 config=$3 checkpoint=$4
shift 4

gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
placement=()
if [[ $gpus_per_node -gt 0 ]]; then
    placement=(--gres="gpu:$gpus_per_node" --ntasks-per-node="$gpus_per_node")
fi
read -r -a extra <<<"${SRUN_ARGS:-}"

exec srun --partition="$partition" \
    --job-name="$job" \
    --ntasks="$gpus" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${placement[@]+"${placement[@]}"} \
    ${extra[@]+"${extra[@]}"} \
    "${PYTHON:-python}" -u "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher slurm "$@"
