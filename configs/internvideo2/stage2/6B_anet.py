# No published script: the settings of 6B_msrvtt.
_base_ = '../../_base_/recipes/stage2_6B_finetune.py'

train_dataloader = dict(dataset=dict(mix=['anet_ret_train']))
val_dataloader = test_dataloader = dict(dataset=dict(sets=['anet_ret_val']))
default_hooks = dict(checkpoint=dict(save_best='anet_ret_val_match/t2v_r1'))
