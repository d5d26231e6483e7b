# As ActivityNet.
_base_ = './uniformerv2_anet.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/hacs'
files = dict(data_prefix=data_root)
train_dataloader = dict(dataset=dict(ann_file=f'{data_root}/train.csv', **files))
val_dataloader = dict(dataset=dict(ann_file=f'{data_root}/val.csv', **files))
test_dataloader = dict(dataset=dict(ann_file=f'{data_root}/test.csv', **files))
del files
