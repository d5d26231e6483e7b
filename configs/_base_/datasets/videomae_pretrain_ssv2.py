# Something-Something V2 is slow: every second frame.
_base_ = './videomae_pretrain_k400.py'

data_root = '{{$INTERNVIDEO2_DATA_PATH:data}}/ssv2_frame'
train_dataloader = dict(
    dataset=dict(
        ann_file=f'{data_root}/pretrain.csv', data_prefix=data_root, sampling=dict(stride=2)
    )
)
