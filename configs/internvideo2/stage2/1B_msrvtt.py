# No published script: the settings of 6B_msrvtt.
_base_ = '../../_base_/recipes/stage2_1B_finetune.py'

train_dataloader = dict(dataset=dict(mix=['msrvtt_ret_train9k']))
val_dataloader = test_dataloader = dict(dataset=dict(sets=['msrvtt_1k_test']))
default_hooks = dict(checkpoint=dict(save_best='msrvtt_1k_test_match/t2v_r1'))
