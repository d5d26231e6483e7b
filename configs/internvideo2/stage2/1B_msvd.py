# No published script: the settings of 6B_msrvtt.
_base_ = '../../_base_/recipes/stage2_1B_finetune.py'

train_dataloader = dict(dataset=dict(mix=['msvd_ret_train']))
val_dataloader = test_dataloader = dict(dataset=dict(sets=['msvd_ret_test']))
default_hooks = dict(checkpoint=dict(save_best='msvd_ret_test_match/t2v_r1'))
