_base_ = './internvideo2_clip_small.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/S14_dist_1B_stage2.pth'
model = dict(vision_encoder=dict(arch='small'), init_cfg=dict(checkpoint=checkpoint))
del checkpoint
