custom_imports = dict(imports=['localization_plugin'], allow_failed_imports=False)
default_scope = 'internvideo'
segments = 'segments.json'
loader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='SegmentDataset', ann_file=segments, split='val'),
)
model = dict(type='SegmentLocalizer', num_classes=4)
train_dataloader = dict(
    loader,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='SegmentDataset', ann_file=segments, split='train'),
)
val_dataloader = loader
val_evaluator = dict(type='StepAccuracy')
train_cfg = dict(max_epochs=2)
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-2))
default_hooks = dict(checkpoint=dict(type='CheckpointHook', save_best='loc/step_accuracy'))
