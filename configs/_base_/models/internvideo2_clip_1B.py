_base_ = './internvideo2_clip_llama.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/InternVideo2_Stage2_1B.pth'
model = dict(
    vision_encoder=dict(arch='1B', drop_path_rate=0.3), init_cfg=dict(checkpoint=checkpoint)
)
del checkpoint
