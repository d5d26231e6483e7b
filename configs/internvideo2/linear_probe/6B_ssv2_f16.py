_base_ = [
    '../../_base_/models/internvideo2_6B_probe.py',
    '../../_base_/datasets/probe/ssv2.py',
    '../../_base_/schedules/probe.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/linear_probing/ssv2/6B_lp_ssv2_f16'
num_gpus = 16

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    head=dict(
        type='ConcatProbeHead',
        embed_dim=3200,
        num_steps=16,
        merge_method='cls_avgN_proj',
        merge_norm='LN',
        num_classes=174,
    ),
    init_cfg=dict(checkpoint=f'{root}/6B_pt.pth'),
)
optim_wrapper = dict(optimizer=dict(lr=0.0001))
param_scheduler = dict(warmup_epochs=4)
train_cfg = dict(max_epochs=20)
