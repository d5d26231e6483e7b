_base_ = './internvideo2_stage2.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/1B_stage1.pth'
model = dict(
    vision_encoder=dict(
        arch='1B', image_pos_embed='separate', drop_path_rate=0.25, checkpoint_num=40
    ),
    embed_dim=512,
    init_cfg=dict(checkpoint=checkpoint),
)
del checkpoint
