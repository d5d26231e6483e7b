_base_ = '../k600.py'

frames = dict(num_frames=16)
train_dataloader = dict(
    batch_size=64,
    dataset=dict(sampling=frames, num_repeats=1, pipeline=_base_.probe_pipeline),
)
val_dataloader = dict(batch_size=64, dataset=dict(sampling=frames))
test_dataloader = dict(dataset=dict(sampling=dict(num_frames=16, num_views=1)))
