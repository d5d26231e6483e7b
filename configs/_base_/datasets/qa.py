# Questions about videos.  Up to four questions about a video share a decode in training, so that a
# batch of eight clips asks up to 32.  Answers say left and right: no flip.
loader = dict(
    batch_size=8,
    num_workers=6,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type='collate_questions'),
)
train_dataloader = dict(
    sampler=dict(type='EpochSampler'),
    dataset=dict(
        type='QuestionAnswers',
        questions_per_clip=4,
        sampling=dict(type='IntervalSample', num_frames=4, mode='rand'),
        pipeline=[
            dict(type='RandomResizedCrop', size=224, scale=(0.5, 1.0), interpolation='bicubic'),
            dict(type='PackMedia'),
        ],
    ),
    **loader,
)
held_out = dict(
    sampler=dict(type='EvalSampler'),
    dataset=dict(
        type='QuestionAnswers',
        test_mode=True,
        sampling=dict(type='IntervalSample', num_frames=4, mode='middle'),
        pipeline=[
            dict(type='ResizeSquare', size=224, interpolation='bicubic', antialias=False),
            dict(type='PackMedia'),
        ],
    ),
    **loader | dict(batch_size=32),
)
val_dataloader, test_dataloader = held_out, held_out
val_evaluator = test_evaluator = dict(type='OpenEndedAccuracy')
del loader, held_out
