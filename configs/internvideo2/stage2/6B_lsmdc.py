# No published script: the settings of 6B_msrvtt.
_base_ = '../../_base_/recipes/stage2_6B_finetune.py'

train_dataloader = dict(dataset=dict(mix=['lsmdc_ret_train']))
val_dataloader = test_dataloader = dict(dataset=dict(sets=['lsmdc_ret_test_1000']))
default_hooks = dict(checkpoint=dict(save_best='lsmdc_ret_test_1000_match/t2v_r1'))
