_base_ = [
    '../../_base_/models/internvideo2_6B_probe.py',
    '../../_base_/datasets/probe/k600.py',
    '../../_base_/schedules/probe.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/attentive_probing/k600/6B_ap_k710_ap_k600_f16'
num_gpus = 16

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    freeze=dict(open_pooler=True),
    head=dict(num_classes=600),
    init_cfg=dict(checkpoint=f'{root}/6B_ap_k710_f16_loadStage2.pth', orig_t_size=16),
)
optim_wrapper = dict(optimizer=dict(lr=1e-05))
param_scheduler = dict(warmup_epochs=0)
train_cfg = dict(max_epochs=3)
