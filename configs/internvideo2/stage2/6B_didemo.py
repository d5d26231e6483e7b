_base_ = '../../_base_/recipes/stage2_6B_finetune.py'
recipe = 'internvideo2_multi_modality/finetuning/stage2/6B/didemo/config'

model = dict(text_encoder=dict(type='FusionBert'))
train_dataloader = dict(dataset=dict(mix=['didemo_ret_train']))
val_dataloader = test_dataloader = dict(dataset=dict(sets=['didemo_ret_test']))
default_hooks = dict(checkpoint=dict(save_best='didemo_ret_test_match/t2v_r1'))
