# Testing a released multimodal model: frames and sizes of the published demo.
_base_ = './evaluation.py'
num_gpus = 1

test_dataloader = dict(
    batch_size=32,
    dataset=dict(
        max_text_length=None,
        sampling=dict(type='IntervalSample', num_frames=8, mode='ends'),
        pipeline=[
            dict(type='Resize', short_side=256, antialias=True),
            dict(type='CenterCrop', size=224),
            dict(type='PackMedia'),
        ],
    ),
)
