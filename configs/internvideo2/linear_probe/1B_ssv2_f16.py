_base_ = [
    '../../_base_/models/internvideo2_1B_probe.py',
    '../../_base_/datasets/probe/ssv2.py',
    '../../_base_/schedules/probe.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/linear_probing/ssv2/1B_lp_ssv2_f16'
num_gpus = 16

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    head=dict(
        type='ConcatProbeHead',
        embed_dim=1408,
        num_steps=16,
        merge_method='cls_avgN_proj',
        merge_norm='LN',
        num_classes=174,
    ),
    init_cfg=dict(checkpoint=f'{root}/1B_pt.pth'),
)
optim_wrapper = dict(optimizer=dict(lr=0.0001))
