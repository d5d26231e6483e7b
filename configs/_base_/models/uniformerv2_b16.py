_base_ = './uniformerv2_recognizer.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/ViT-B-16.safetensors'
model = dict(
    backbone=dict(patch_size=16, global_layers=[8, 9, 10, 11]),
    init_cfg=dict(checkpoint=checkpoint),
)
