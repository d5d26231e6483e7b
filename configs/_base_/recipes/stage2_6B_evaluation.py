_base_ = ['../models/internvideo2_stage2_6B.py', './evaluation.py']
num_gpus = 4

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/6B_stage2.pth'
model = dict(
    text_encoder=dict(init_cfg=None),
    audio_encoder=dict(init_cfg=None),
    init_cfg=dict(kind='released', orig_t_size=4, checkpoint=checkpoint),
)
test_dataloader = dict(batch_size=4)
del checkpoint
