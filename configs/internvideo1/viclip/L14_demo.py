# Released ViCLIP-L as its demo runs it: labels of a video, and searching videos by words.
_base_ = ['../../_base_/models/viclip_l14.py', '../../_base_/recipes/viclip_demo.py']

checkpoint = '{{$INTERNVIDEO2_MODEL_PATH:checkpoints}}/ViCLIP-L_InternVid-FLT-10M.pth'
model = dict(init_cfg=dict(type='Published', adapter='viclip', checkpoint=checkpoint))
del checkpoint
