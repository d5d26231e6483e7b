_base_ = [
    '../../_base_/models/internvideo2_1B_probe.py',
    '../../_base_/datasets/probe/k400.py',
    '../../_base_/schedules/probe.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/linear_probing/k400/1B_lp_k400_f16'
num_gpus = 16

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    head=dict(num_classes=400),
    init_cfg=dict(checkpoint=f'{root}/1B_pt.pth'),
)
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = dict(warmup_epochs=3, min_lr=1e-06)
train_cfg = dict(max_epochs=15)
