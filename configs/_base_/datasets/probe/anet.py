_base_ = '../anet.py'

frames = dict(num_frames=16)
train_dataloader = dict(batch_size=64, dataset=dict(sampling=frames, num_repeats=1))
val_dataloader = dict(batch_size=64, dataset=dict(sampling=frames))
test_dataloader = dict(dataset=dict(sampling=frames))
