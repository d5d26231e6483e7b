"""A tiny student with tiny teachers."""

from internvideo.models.masks.token_masks import Masker
from internvideo.registry import MODELS

SIZES = dict(depth=3, num_heads=2, mlp_ratio=2)
POOLER = dict(attn_pool_num_heads=2, clip_embed_dim=16)
STUDENT = dict(
    type='InternVideo2', arch=None, embed_dim=32, img_size=28, num_frames=2, **SIZES, **POOLER
)
IMAGE_TOWER = dict(type='InternVLVision', arch=None, embed_dim=24, img_size=28, **SIZES, **POOLER)
MAE_TOWER = dict(
    type='VideoMAE', arch=None, embed_dim=20, img_size=28, num_frames=4, patch_size=14, **SIZES
)


def teacher(encoder, init_cfg=None, dtype='float32', **fields):
    layers = fields.pop('layers', dict(count=2))
    return dict(encoder=encoder, layers=layers, init_cfg=init_cfg, dtype=dtype, **fields)


def pretraining(**fields):
    """Config of masked pretraining: four frames, two of them for student and image tower."""
    config = dict(
        type='MaskedAlignment',
        data_preprocessor=dict(type='ClipDataPreprocessor'),
        backbone=STUDENT,
        neck=dict(type='AlignmentNeck', clip_dim=24, clip_final_dim=16, mae_dim=20),
        targets=dict(
            type='InlineTeachers',
            clip=teacher(IMAGE_TOWER, frame_stride=2),
            mae=teacher(MAE_TOWER),
        ),
        masker=dict(type='AttentionMask', ratio=0.5),
        clip_layers=dict(count=2),
        mae_layers=dict(count=2),
        frame_stride=2,
    )
    return config | fields


def autoencoder(**fields):
    """Config of VideoMAE: clips of 2 x 2 x 2 tubes, half of them hidden."""
    config = dict(
        type='MaskedAutoencoder',
        data_preprocessor=dict(type='ClipDataPreprocessor'),
        backbone=MAE_TOWER | dict(pos_embed='own'),
        decoder=dict(type='VideoMAEDecoder', embed_dim=16, depth=2, num_heads=2),
        masker=dict(type='TubeMask', ratio=0.5),
    )
    return config | fields


def mae_classifier(num_classes=3, **fields):
    """Config of a classifier that VideoMAE's encoder fits."""
    return dict(
        type='VideoRecognizer',
        backbone=MAE_TOWER | dict(final_norm=False, pooling='mean') | fields,
        head=dict(type='ClassificationHead', num_classes=num_classes, in_dim=20, norm_eps=1e-6),
    )


def build(config):
    return MODELS.build(config)


class GivenMask(Masker):
    """Always the same mask."""

    def __init__(self, mask):
        self.mask = mask

    def __call__(self, *_):
        return self.mask

    def num_visible(self, grid):
        return int((~self.mask[0]).sum())
