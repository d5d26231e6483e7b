_base_ = ['../../_base_/models/internvideo2_stage2_6B.py', '../../_base_/recipes/training.py']
recipe = 'internvideo2_multi_modality/finetuning/stage2/6B/msrvtt/config'
num_gpus = 4

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/6B_stage2.pth'
model = dict(
    audio_encoder=None,  # nothing that hears is built where no objective needs it
    freeze=[],
    text_encoder=dict(init_cfg=None),
    loss_weights=dict(mlm=0.0, avtc=0.0, avtm=0.0, avmlm=0.0),
    init_cfg=dict(kind='released', orig_t_size=4, checkpoint=checkpoint),
)
train_dataloader = dict(dataset=dict(mix=['msrvtt_ret_train9k']), batch_sampler=dict(batch_size=8))
val_dataloader = test_dataloader = dict(batch_size=8, dataset=dict(sets=['msrvtt_1k_test']))
optim_wrapper = dict(optimizer=dict(lr=5e-6))
train_cfg = dict(max_epochs=5)
strategy = dict(zero=dict(stage=2))
default_hooks = dict(checkpoint=dict(save_best='msrvtt_1k_test_match/t2v_r1'))
