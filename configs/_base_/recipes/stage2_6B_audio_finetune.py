# Fine-tuning the 6B model for retrieval of audio: audio and text encoders learn.
_base_ = ['../models/internvideo2_stage2_6B.py', './stage2_finetune.py']

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/6B_stage2.pth'
model = dict(
    audio_encoder=dict(init_cfg=None),
    freeze=['vision'],
    text_encoder=dict(init_cfg=None),
    loss_weights=dict(vtc=0.0, vtm=0.0, mlm=0.0, avtc=0.0, avtm=0.0, avmlm=0.0, atc=1.0, atm=1.0),
    loss_captions=None,
    init_cfg=dict(kind='released', orig_t_size=4, checkpoint=checkpoint, new_parts=['atm_head']),
)
del checkpoint
