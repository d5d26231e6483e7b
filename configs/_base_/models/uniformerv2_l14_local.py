# Something-Something: two local blocks in each block, every second frame, more global blocks.
_base_ = './uniformerv2_l14.py'

model = dict(
    backbone=dict(
        no_lmhra=False,
        double_lmhra=True,
        temporal_downsample=True,
        global_layers=[*range(8, 24)],
        backbone_drop_path_rate=0.2,
        drop_path_rate=0.4,
        checkpoint_num=15,
    ),
    head=dict(num_classes=174),
)
