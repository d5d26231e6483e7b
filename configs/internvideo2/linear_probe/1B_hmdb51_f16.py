_base_ = [
    '../../_base_/models/internvideo2_1B_probe.py',
    '../../_base_/datasets/probe/hmdb51.py',
    '../../_base_/schedules/probe.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/linear_probing/hmdb51/1B_lp_hmdb51_f16'
num_gpus = 8

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    head=dict(num_classes=51, dropout=0.3),
    init_cfg=dict(checkpoint=f'{root}/1B_pt.pth'),
)
optim_wrapper = dict(optimizer=dict(lr=0.002))
param_scheduler = dict(warmup_epochs=0)
train_cfg = dict(max_epochs=20)
