# No published script: the settings of 6B_msrvtt, for sounds.
_base_ = '../../_base_/recipes/stage2_6B_audio_finetune.py'

train_dataloader = dict(dataset=dict(mix=['audiocaps_ret_train']))
val_dataloader = test_dataloader = dict(dataset=dict(sets=['audiocaps_ret_test']))
default_hooks = dict(checkpoint=dict(save_best='audiocaps_ret_test_match/t2v_r1'))
