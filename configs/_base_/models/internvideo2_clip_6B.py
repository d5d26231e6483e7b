_base_ = './internvideo2_clip_llama.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/InternVideo2_Stage2_6B.pth'
model = dict(
    vision_encoder=dict(arch='6B', drop_path_rate=0.35), init_cfg=dict(checkpoint=checkpoint)
)
del checkpoint
