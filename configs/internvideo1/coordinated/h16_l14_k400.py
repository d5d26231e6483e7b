# VideoMAE-H and UniFormerV2-L/14, coordinated by cross-model attention on Kinetics-400.  The paper
# says what is trained and what meets; layers, rates and length are ours, for none are published.
_base_ = [
    '../../_base_/models/videomae_h16.py',
    '../../_base_/datasets/videomae_k400.py',
    '../../_base_/schedules/videomae_finetune.py',
    '../../_base_/strategies/auto.py',
    '../../_base_/default_runtime.py',
]
num_gpus = 32

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    type='CrossModelRecognizer',
    multimodal_encoder=dict(
        type='UniFormerV2',
        arch='large',
        patch_size=14,
        num_frames=8,
        no_lmhra=True,
        global_layers=[20, 21, 22, 23],
    ),
    multimodal_head=dict(type='ClassificationHead', num_classes=400, in_dim=1024),
    # A quarter of each encoder further on every time.
    cross_layers=[(7, 5), (15, 11), (23, 17), (31, 23)],
    frame_stride=2,
    multimodal_pixels=dict(mean=[114.75] * 3, std=[57.375] * 3),
    init_cfg=dict(
        adapter='internvideo_coordinated',
        checkpoint=f'{root}/videomae_h16_k400.pth',
        multimodal=f'{root}/uniformerv2_l14_k400.pyth',
    ),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
train_cfg = dict(max_epochs=5)
param_scheduler = dict(warmup_epochs=1)
del root
