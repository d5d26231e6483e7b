_base_ = './uniformerv2_recognizer.py'

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/ViT-L-14.safetensors'
model = dict(
    backbone=dict(arch='large', patch_size=14, global_layers=[20, 21, 22, 23]),
    head=dict(in_dim=1024),
    init_cfg=dict(checkpoint=checkpoint),
)
