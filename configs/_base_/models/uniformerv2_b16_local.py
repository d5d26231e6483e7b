# Something-Something: two local blocks in each block, every second frame, more global blocks.
_base_ = './uniformerv2_b16.py'

model = dict(
    backbone=dict(
        no_lmhra=False,
        double_lmhra=True,
        temporal_downsample=True,
        global_layers=[*range(4, 12)],
        backbone_drop_path_rate=0.2,
        drop_path_rate=0.4,
    ),
    head=dict(num_classes=174),
)
