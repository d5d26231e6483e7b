_base_ = './uniformerv2_sparse_video.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/mit'
files = dict(data_prefix=data_root, delimiter=',', num_classes=339)
train_dataloader = dict(dataset=dict(ann_file=f'{data_root}/train.csv', **files))
val_dataloader = dict(dataset=dict(ann_file=f'{data_root}/val.csv', **files))
test_dataloader = dict(dataset=dict(ann_file=f'{data_root}/test.csv', **files))
del files
