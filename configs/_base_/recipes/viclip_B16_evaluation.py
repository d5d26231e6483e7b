# The released model as the published tables test it: the mean of its weights and of CLIP's.
_base_ = ['../models/viclip_pretrain_b16.py', './evaluation.py']
num_gpus = 2

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    init_cfg=dict(
        adapter='viclip',
        checkpoint=f'{root}/ViCLIP-B_InternVid-FLT-10M.pth',
        wise_ft=dict(checkpoint=f'{root}/ViT-B-16.safetensors', coef=0.5),
    )
)
test_dataloader = dict(batch_size=64, dataset=dict(sampling=dict(num_frames=8)))
del root
