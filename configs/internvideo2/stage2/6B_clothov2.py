# No published script: the settings of 6B_msrvtt, for sounds.
_base_ = '../../_base_/recipes/stage2_6B_audio_finetune.py'

train_dataloader = dict(dataset=dict(mix=['clothov2_ret_train']))
val_dataloader = test_dataloader = dict(dataset=dict(sets=['clothov2_ret_test']))
default_hooks = dict(checkpoint=dict(save_best='clothov2_ret_test_match/t2v_r1'))
