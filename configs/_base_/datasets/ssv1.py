# As version 2, with frames named 00001.jpg.
_base_ = './ssv2.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/ssv1_frame'
files = dict(data_prefix=data_root, filename_tmpl='{:05}.jpg')
train_dataloader = dict(dataset=dict(ann_file=f'{data_root}/train.csv', **files))
val_dataloader = dict(dataset=dict(ann_file=f'{data_root}/val.csv', **files))
test_dataloader = dict(dataset=dict(ann_file=f'{data_root}/test.csv', **files))
del files
