# One frame from each of sixteen segments.
_base_ = './k400.py'

segments = dict(type='SegmentSample', num_frames=16, media='video')
train_dataloader = dict(batch_size=16, num_workers=8, dataset=dict(sampling=segments))
val_dataloader = dict(batch_size=16, num_workers=8, dataset=dict(sampling=segments))
test_dataloader = dict(num_workers=8, dataset=dict(sampling=dict(num_views=2, **segments)))
del segments
