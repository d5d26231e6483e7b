_base_ = [
    '../../_base_/models/internvideo2_6B_probe.py',
    '../../_base_/datasets/probe/hacs.py',
    '../../_base_/schedules/probe.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/full_tuning/hacs/6B_ft_k710_ft_k400_ap_hacs_f8'
num_gpus = 16

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    freeze=dict(open_pooler=True),
    head=dict(num_classes=200, dropout=0.5),
    init_cfg=dict(checkpoint=f'{root}/6B_ft_k710_ft_k400_f8.pth', head='reset'),
)
param_scheduler = dict(warmup_epochs=0)
train_cfg = dict(max_epochs=40)
