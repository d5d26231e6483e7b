_base_ = ['../../_base_/models/internvideo2_stage2_6B.py', '../../_base_/recipes/stage2.py']
recipe = 'internvideo2_multi_modality/pretraining/stage2/6B/config'
num_gpus = 256

train_dataloader = dict(dataset=dict(mix=['cc3m', 'webvid', 'internvid_v2_avs_private']))
train_cfg = dict(max_epochs=5)
