#!/usr/bin/env bash
# The video processors of Qwen2-VL and Qwen2.5-VL in transformers choose `num_frames` of a video by counting up from 0
# in steps of total / num_frames.  Asked for 14 of 34 frames, which is valid (an even number below the total), they
# should give 14 numbers below 34.  They give 15, the last of them 34: the step is rounded, so that one more fits, and
# a video of 34 frames has none of that number.  One in thirty pairs of length and count is met.
# Seen with transformers 5.23.0, torch 2.14.1, torchvision 0.29.1.  Ends with 0 as long as this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet transformers==5.23.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 pillow==13.0.0
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

import torch
import transformers
from transformers import Qwen2VLVideoProcessor
from transformers.video_utils import VideoMetadata

processor = Qwen2VLVideoProcessor()


def chosen(total, count):
    metadata = VideoMetadata(total_num_frames=total, fps=25.0, duration=total / 25.0)
    return [int(i) for i in processor.sample_frames(metadata, num_frames=count)]


pairs = [(total, count) for total in range(16, 120) for count in range(4, total, 2)]
wrong = [pair for pair in pairs if len(chosen(*pair)) != pair[1] or max(chosen(*pair)) >= pair[0]]
found = chosen(34, 14)
print('transformers', transformers.__version__, 'torch', torch.__version__)
print('14 of 34 frames:', found)
print(f'{len(wrong)} of {len(pairs)} pairs of total and count have a wrong number, such as {wrong[:5]}')
sys.exit(not (len(found) == 15 and found[-1] == 34 and wrong))
PYTHON
