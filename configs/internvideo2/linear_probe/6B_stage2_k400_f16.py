_base_ = [
    '../../_base_/models/internvideo2_6B_probe.py',
    '../../_base_/datasets/probe/k400.py',
    '../../_base_/schedules/probe.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/linear_probing/k400/6B_lp_k400_f16_loadStage2'
num_gpus = 16

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    head=dict(num_classes=400),
    init_cfg=dict(checkpoint=f'{root}/6B_pt.pth', extra=f'{root}/6B_pt_stage2.pth', orig_t_size=4),
)
optim_wrapper = dict(optimizer=dict(lr=0.0005))
param_scheduler = dict(warmup_epochs=2)
train_cfg = dict(max_epochs=9)
