_base_ = ['../models/internvideo2_clip_1B.py', './evaluation.py']
num_gpus = 1

# The file holds what was trained: the rest comes from the files that training started from.
checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/InternVideo2_CLIP_1B.pth'
model = dict(init_cfg=dict(extra=checkpoint))
test_dataloader = dict(batch_size=64, num_workers=12, dataset=dict(sampling=dict(num_frames=8)))
del checkpoint
