# What the released ViCLIP sees of a video: the first 8 of every (n // 8)-th frame, squeezed to
# 224 x 224 bilinearly.
_base_ = './evaluation.py'
num_gpus = 1

frames = dict(type='IntervalSample', num_frames=8, mode='every')
test_dataloader = dict(
    dataset=dict(
        sampling=frames,
        pipeline=[
            dict(type='ResizeSquare', size=224, interpolation='bilinear'),
            dict(type='PackMedia'),
        ],
        sets=['msrvtt_1k_test'],
    )
)
del frames
