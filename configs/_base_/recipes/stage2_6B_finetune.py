_base_ = ['../models/internvideo2_stage2_6B.py', './stage2_finetune.py']

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/6B_stage2.pth'
model = dict(
    audio_encoder=None,  # no audio encoder is built where no objective needs it
    freeze=[],
    text_encoder=dict(init_cfg=None),
    loss_weights=dict(mlm=0.0, avtc=0.0, avtm=0.0, avmlm=0.0),
    init_cfg=dict(kind='released', orig_t_size=4, checkpoint=checkpoint),
)
del checkpoint
