_base_ = ['../models/internvideo2_stage2_1B.py', './stage2_finetune.py']

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/1B_stage2_pt.pth'
model = dict(
    data_preprocessor=dict(tokenizer=dict(max_length=40)),
    text_encoder=dict(init_cfg=None),
    loss_weights=dict(mlm=0.0),
    init_cfg=dict(kind='released', orig_t_size=4, checkpoint=checkpoint),
)
del checkpoint
