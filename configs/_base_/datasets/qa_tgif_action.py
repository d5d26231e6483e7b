_base_ = './qa.py'

root = '{{$INTERNVIDEO2_DATA_PATH:data}}/tgif'
files = dict(task='multiple_choice', data_prefix=root)
train_dataloader = dict(dataset=dict(ann_file=f'{root}/action_train.json', **files))
val_dataloader = dict(dataset=dict(ann_file=f'{root}/action_val.json', **files))
test_dataloader = dict(dataset=dict(ann_file=f'{root}/action_test.json', **files))
val_evaluator = test_evaluator = dict(type='ChoiceAccuracy')
del root, files
