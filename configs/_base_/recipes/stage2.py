# Stage-2 pretraining, with the mixture that the published code gives as an example.
_base_ = './training.py'

train_dataloader = dict(dataset=dict(mix=['cc3m', 'webvid']), batch_sampler=dict(batch_size=64))
val_dataloader = test_dataloader = dict(
    batch_size=4, dataset=dict(sets=['msrvtt_1k_test', 'didemo_ret_test'])
)
default_hooks = dict(checkpoint=dict(save_best='msrvtt_1k_test_match/t2v_r1'))
