_base_ = './internvideo2_qa.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/6B_stage2.pth'
model = dict(
    vision_encoder=dict(arch='6B', drop_path_rate=0.3, use_checkpoint=True, checkpoint_num=48),
    av_concat_dim=768,
    init_cfg=dict(checkpoint=checkpoint),
)
del checkpoint
