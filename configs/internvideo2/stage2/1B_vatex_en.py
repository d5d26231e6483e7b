# No published script: the settings of 6B_msrvtt.
_base_ = '../../_base_/recipes/stage2_1B_finetune.py'

train_dataloader = dict(dataset=dict(mix=['vatex_en_ret_train']))
val_dataloader = test_dataloader = dict(dataset=dict(sets=['vatex_en_ret_val']))
default_hooks = dict(checkpoint=dict(save_best='vatex_en_ret_val_match/t2v_r1'))
