# Training on a mixture of corpora: batches of one modality each, in the published order.
_base_ = './corpora.py'

train_dataloader = dict(
    num_workers=6,
    persistent_workers=True,
    pin_memory=True,
    batch_sampler=dict(type='MediaBatchSampler', batch_size=64),
    collate_fn=dict(type='collate_media'),
    dataset=dict(
        type='MediaMixture',
        mix=[],
        sampling=dict(type='IntervalSample', num_frames=4, mode='rand'),
        pipeline=[
            dict(
                type='RandomResizedCrop',
                size=224,
                scale=(0.5, 1.0),
                interpolation='bicubic',
            ),
            dict(type='RandomFlip'),
            dict(type='PackMedia'),
        ],
        audio=dict(sample_rate=16000, max_seconds=10, num_mel_bins=64),
    ),
)
