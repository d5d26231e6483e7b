_base_ = './internvideo2_qa.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/1B_stage2_pt.pth'
model = dict(
    vision_encoder=dict(arch='1B', drop_path_rate=0.25, checkpoint_num=40),
    init_cfg=dict(checkpoint=checkpoint),
)
del checkpoint
