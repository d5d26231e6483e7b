# Sixteen frames, four apart.
_base_ = './k600.py'

dense = dict(type='DenseSample', num_frames=16, stride=4, centered_val=True, strided_views=True)
train_dataloader = dict(batch_size=16, num_workers=8, dataset=dict(sampling=dense))
val_dataloader = dict(batch_size=16, num_workers=8, dataset=dict(sampling=dense))
test_dataloader = dict(num_workers=8, dataset=dict(sampling=dict(num_views=7, **dense)))
del dense
