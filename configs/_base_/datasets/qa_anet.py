_base_ = './qa.py'

root = '{{$INTERNVIDEO2_DATA_PATH:data}}/anet'
# A test chooses among the answers of training, the most frequent first.
held_out = dict(data_prefix=root, answers=f'{root}/qa_train.json', max_answers=1500)
train_dataloader = dict(dataset=dict(ann_file=f'{root}/qa_train.json', data_prefix=root))
val_dataloader = dict(dataset=dict(ann_file=f'{root}/qa_val.json', **held_out))
test_dataloader = dict(dataset=dict(ann_file=f'{root}/qa_test.json', **held_out))
del root, held_out
