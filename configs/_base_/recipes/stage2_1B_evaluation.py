_base_ = ['../models/internvideo2_stage2_1B.py', './evaluation.py']
num_gpus = 1

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/1B_stage2_pt.pth'
model = dict(
    data_preprocessor=dict(tokenizer=dict(max_length=40)),
    text_encoder=dict(init_cfg=None),
    init_cfg=dict(kind='released', orig_t_size=4, checkpoint=checkpoint),
)
test_dataloader = dict(batch_size=4)
del checkpoint
