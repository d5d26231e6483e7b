_base_ = '../ucf101.py'

train_dataloader = dict(
    batch_size=64,
    dataset=dict(num_repeats=1, pipeline=_base_.probe_pipeline),
)
val_dataloader = dict(batch_size=64)
