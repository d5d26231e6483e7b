_base_ = '../../_base_/recipes/stage2_6B_finetune.py'
recipe = 'internvideo2_multi_modality/finetuning/stage2/6B/msrvtt/config'

train_dataloader = dict(dataset=dict(mix=['msrvtt_ret_train9k']))
val_dataloader = test_dataloader = dict(dataset=dict(sets=['msrvtt_1k_test']))
default_hooks = dict(checkpoint=dict(save_best='msrvtt_1k_test_match/t2v_r1'))
