# As version 2, with frames named 00001.jpg.
_base_ = './uniformerv2_ssv2.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/ssv1_frame'
files = dict(data_prefix=data_root, filename_tmpl='{:05d}.jpg')
validation = f'{data_root}/somesomev1_rgb_validation_split.txt'
train_dataloader = dict(
    dataset=dict(ann_file=f'{data_root}/somesomev1_rgb_train_split.txt', **files)
)
val_dataloader = dict(dataset=dict(ann_file=validation, **files))
test_dataloader = dict(dataset=dict(ann_file=validation, **files))
del files, validation
