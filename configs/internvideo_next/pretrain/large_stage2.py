_base_ = './base_stage2.py'
recipe = 'internvideo_next/large_stage2'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/internvideo_next_stage1_large.pth'
model = dict(backbone=dict(arch='large', drop_path_rate=0.2), init_cfg=dict(checkpoint=checkpoint))
train_dataloader = dict(batch_size=8)
