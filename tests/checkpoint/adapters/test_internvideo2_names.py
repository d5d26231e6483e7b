import torch

from internvideo.checkpoint.adapters.internvideo2_names import extract_stage2_vision


def test_a_stage2_tower_loses_what_its_decoders_own_and_nothing_else():
    names = ('cls_token', 'img_pos_embed', 'sub.clip_decoder.x', 'final_clip_decoder.y', 'head.z')
    stage2 = {f'vision_encoder.{name}': torch.zeros(1) for name in names} | {'temp': torch.ones(1)}
    assert list(extract_stage2_vision(stage2)) == ['cls_token', 'head.z']
