# The same questions with four options each.
_base_ = './qa_synthetic.py'

lists = '{{$INTERNVIDEO2_DATA_PATH:data}}/synthetic_scenes/scenes/qa'
held_out = dict(task='multiple_choice', answers=None)
# Every question is four texts.
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        ann_file=f'{lists}/train_multiple_choice.json',
        task='multiple_choice',
        questions_per_clip=2,
    ),
)
val_dataloader = dict(dataset=dict(ann_file=f'{lists}/val_multiple_choice.json', **held_out))
test_dataloader = dict(dataset=dict(ann_file=f'{lists}/test_multiple_choice.json', **held_out))
val_evaluator = test_evaluator = dict(type='ChoiceAccuracy')
del lists, held_out
