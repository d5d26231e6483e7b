# Corpora that ViCLIP was trained on, beside those of other models: InternVid in its states of
# collection, by published names (month and day, size).  `viclip_20m` is 230613's filtered part
# beside ten million others.
_base_ = './media_mixture.py'

root = '{{$INTERNVIDEO2_DATA_PATH:data}}'
table = dict(
    summarized_230522_resized=dict(
        ann_file=f'{root}/internvid/summarized_230522_resized.json',
        data_prefix=f'{root}/internvid',
        media_type='video',
    ),
    summarized_230522_resized_10m=dict(
        ann_file=f'{root}/internvid/summarized_230522_resized_10m.json',
        data_prefix=f'{root}/internvid',
        media_type='video',
    ),
    summarized_230602_resized_200m=dict(
        ann_file=f'{root}/internvid/summarized_230602_resized_200m.json',
        data_prefix=f'{root}/internvid',
        media_type='video',
    ),
    summarized_230602_resized_200m_10m=dict(
        ann_file=f'{root}/internvid/summarized_230602_resized_200m_10m.json',
        data_prefix=f'{root}/internvid',
        media_type='video',
    ),
    summarized_230604_resized=dict(
        ann_file=f'{root}/internvid/summarized_230604_resized.json',
        data_prefix=f'{root}/internvid',
        media_type='video',
    ),
    summarized_230613_resized_10m=dict(
        ann_file=f'{root}/internvid/summarized_230613_resized_10m.json',
        data_prefix=f'{root}/internvid',
        media_type='video',
    ),
    summarized_230613_resized_filtered=dict(
        ann_file=f'{root}/internvid/summarized_230613_resized_filtered.json',
        data_prefix=f'{root}/internvid',
        media_type='video',
    ),
    our230415=dict(
        ann_file=f'{root}/internvid/our230415.json',
        data_prefix=f'{root}/internvid',
        media_type='video',
    ),
    viclip_20m=dict(
        ann_file=f'{root}/internvid/viclip_20m.json',
        data_prefix=f'{root}/internvid',
        media_type='video',
    ),
    viclip=dict(
        ann_file=f'{root}/internvid/viclip.json',
        data_prefix=f'{root}/internvid',
        media_type='video',
    ),
)
train_dataloader = dict(dataset=dict(table=table))
del root, table
