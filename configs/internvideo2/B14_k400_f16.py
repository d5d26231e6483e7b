_base_ = './B14_k400.py'

recipe = None  # the published recipes have 8 frames at this size
frames = dict(num_frames=16)
model = dict(backbone=dict(num_frames=16))
train_dataloader = dict(dataset=dict(sampling=frames))
val_dataloader = dict(dataset=dict(sampling=frames))
test_dataloader = dict(dataset=dict(sampling=frames))
