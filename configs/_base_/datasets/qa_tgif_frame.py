_base_ = './qa.py'

root = '{{$INTERNVIDEO2_DATA_PATH:data}}/tgif'
# A test chooses among the answers of training, the most frequent first.
held_out = dict(data_prefix=root, answers=f'{root}/frame_train.json', max_answers=1500)
train_dataloader = dict(dataset=dict(ann_file=f'{root}/frame_train.json', data_prefix=root))
val_dataloader = dict(dataset=dict(ann_file=f'{root}/frame_val.json', **held_out))
test_dataloader = dict(dataset=dict(ann_file=f'{root}/frame_test.json', **held_out))
del root, held_out
