_base_ = '../../../configs/internvideo2/tiny_synthetic.py'
custom_imports = dict(imports=['projects.example_project'], allow_failed_imports=False)

groups = dict(
    sideways=['left', 'right'],
    upright=['up', 'down'],
    zoom=['zoom_in', 'zoom_out'],
    restless=['bounce', 'blink'],
)
model = dict(
    head=dict(
        _delete_=True,
        type='CosineHead',
        num_classes=4,
        in_dim=96,
        loss=dict(type='FocalLoss', gamma=2.0),
    ),
)
val_evaluator = dict(topk=(1, 2))
test_evaluator = dict(topk=(1, 2))
train_dataloader = dict(dataset=dict(type='GroupedVideoDataset', groups=groups))
val_dataloader = dict(dataset=dict(type='GroupedVideoDataset', groups=groups))
test_dataloader = dict(dataset=dict(type='GroupedVideoDataset', groups=groups))
