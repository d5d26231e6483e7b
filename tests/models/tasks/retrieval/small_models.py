"""Retrieval models and batches of a few kilobytes."""

from typing import Any

import torch
from torch import nn

from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample

VISION = dict(
    type='InternVideo2',
    arch=dict(embed_dim=16, depth=2, num_heads=2, mlp_ratio=2),
    img_size=28,
    num_frames=2,
    attn_pool_num_heads=2,
    clip_embed_dim=12,
    image_pos_embed='shared',
    init_values=0.5,
)
BERT = dict(
    type='FusionBertForMaskedLM',
    arch=dict(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        vocab_size=40,
        max_position_embeddings=12,
        fusion_layer=1,
    ),
)
AUDIO = dict(
    type='BEATs',
    embed_dim=8,
    encoder_layers=1,
    encoder_embed_dim=12,
    encoder_ffn_embed_dim=16,
    encoder_attention_heads=2,
    conv_pos=4,
    conv_pos_groups=2,
)
LLAMA = dict(
    type='LlamaText',
    arch=dict(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        vocab_size=40,
        pad_token_id=0,
    ),
    out_dim=12,
    lora=dict(r=2),
)
VICLIP_VISION = dict(
    type='ViCLIPVision',
    arch=dict(embed_dim=16, depth=2, num_heads=2, mlp_ratio=2),
    img_size=28,
    patch_size=14,
    num_frames=4,
    output_dim=8,
)
CLIP_TEXT = dict(
    type='CLIPText', embed_dim=8, context_length=6, vocab_size=20, width=16, heads=2, layers=1
)


def stage2(**fields: Any) -> nn.Module:
    base = dict(
        type='InternVideo2Stage2',
        vision_encoder=VISION,
        text_encoder=BERT,
        embed_dim=10,
        masking=dict(mask_id=3, cls_id=1),
    )
    return MODELS.build(base | fields)


def stage2_audio(**fields: Any) -> nn.Module:
    names = ('vtc', 'atc', 'avc', 'avtc', 'vtm', 'atm', 'avtm', 'mlm', 'amlm', 'avmlm')
    weights = dict(loss_weights=dict.fromkeys(names, 1.0))
    return stage2(**dict(audio_encoder=AUDIO, av_concat_dim=14) | weights | fields)


def clip(**fields: Any) -> nn.Module:
    base = dict(type='InternVideo2CLIP', vision_encoder=VISION, text_encoder=LLAMA)
    return MODELS.build(base | fields)


def viclip(**fields: Any) -> nn.Module:
    torch.manual_seed(0)
    base = dict(type='ViCLIP', vision_encoder=VICLIP_VISION, text_encoder=CLIP_TEXT)
    return MODELS.build(base | fields)


def batch(size: int = 4, frames: int = 2, audio: bool = False, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 40, (size, 6), generator=generator)
    ids[:, 0] = 1
    text = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
    inputs = dict(video=torch.randn(size, 3, frames, 28, 28, generator=generator), text=text)
    if audio:
        inputs['audio'] = torch.randn(size, 32, 16, generator=generator)
    return inputs


def samples(ids: list[int]) -> list[VideoDataSample]:
    return [VideoDataSample(metainfo=dict(pair_id=pair)) for pair in ids]
