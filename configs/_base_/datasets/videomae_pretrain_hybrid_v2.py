# The larger mixture, each video augmented four times.
_base_ = './videomae_pretrain_hybrid.py'

lists = '{{$INTERNVIDEO2_DATA_PATH:data}}/hybrid_v2'
train_dataloader = dict(
    dataset=dict(
        num_repeats=4,
        datasets=dict(
            k710=dict(ann_file=f'{lists}/k710.csv', num_repeats=4),
            ssv2=dict(ann_file=f'{lists}/ssv2.csv', num_repeats=4),
            ava=dict(ann_file=f'{lists}/ava.csv', num_repeats=4),
            webvid=dict(ann_file=f'{lists}/webvid.csv', num_repeats=4),
        ),
    )
)
del lists
