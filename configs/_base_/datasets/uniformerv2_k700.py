_base_ = './uniformerv2_sparse_video.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/k700'
files = dict(data_prefix=data_root, delimiter=',', num_classes=700)
train_dataloader = dict(dataset=dict(ann_file=f'{data_root}/train.csv', **files))
val_dataloader = dict(dataset=dict(ann_file=f'{data_root}/val.csv', **files))
test_dataloader = dict(dataset=dict(ann_file=f'{data_root}/test.csv', **files))
del files
