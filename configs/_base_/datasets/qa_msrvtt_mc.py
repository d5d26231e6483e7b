# Five captions a video, one of them its own; made for testing alone.
_base_ = './qa.py'

root = '{{$INTERNVIDEO2_DATA_PATH:data}}/msrvtt'
train_dataloader = val_dataloader = val_evaluator = None
test_dataloader = dict(
    dataset=dict(ann_file=f'{root}/mc_test.json', data_prefix=root, task='multiple_choice')
)
test_evaluator = dict(type='ChoiceAccuracy')
del root
