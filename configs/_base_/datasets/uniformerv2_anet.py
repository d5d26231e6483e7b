# Rows `path total start end label`, in seconds: training sees the action, testing the whole video.
_base_ = './uniformerv2_sparse_video.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/anet'
files = dict(data_prefix=data_root, delimiter=' ', num_classes=200)
segments = dict(columns=('path', 'duration', 'start', 'end', 'label'), **files)
videos = dict(columns=('path', '_', '_', '_', 'label'), **files)
train_dataloader = dict(dataset=dict(ann_file=f'{data_root}/train.csv', **segments))
val_dataloader = dict(dataset=dict(ann_file=f'{data_root}/val.csv', **videos))
views = dict(sampling=dict(num_views=10), **videos)
test_dataloader = dict(dataset=dict(ann_file=f'{data_root}/test.csv', **views))
del files, segments, videos, views
