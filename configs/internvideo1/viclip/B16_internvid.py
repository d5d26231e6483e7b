_base_ = ['../../_base_/models/viclip_pretrain_b16.py', '../../_base_/recipes/viclip.py']
recipe = 'internvideo1_pretrain/viclip_pretrain_viclip_base'

train_dataloader = dict(dataset=dict(mix=['viclip']))
optim_wrapper = dict(optimizer=dict(lr=2e-4))
