_base_ = [
    '../../_base_/models/internvideo2_1B_probe.py',
    '../../_base_/datasets/probe/k710.py',
    '../../_base_/schedules/probe.py',
    '../../_base_/strategies/auto_zero1.py',
    '../../_base_/default_runtime.py',
]
recipe = 'internvideo2_single_modality/finetuning/attentive_probing/k710/1B_ap_k710_f16_loadStage2'
num_gpus = 16

root = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}'
model = dict(
    freeze=dict(open_pooler=True),
    head=dict(num_classes=710),
    init_cfg=dict(checkpoint=f'{root}/1B_pt.pth', extra=f'{root}/1B_pt_stage2.pth', orig_t_size=4),
)
