# Scenes of the generated world: videos with captions, their sounds with captions, and both together.
#   python tools/data/make_synthetic.py data/synthetic_scenes --tasks captions qa sounds \
#       --num-train 2400 --num-val 50 --num-test 50
# Captions say left and right: no flip.
_base_ = ['./media_mixture.py', './evaluation_sets.py']

root = '{{$INTERNVIDEO2_DATA_PATH:data}}/synthetic_scenes/scenes'
loader = dict(num_workers=1, pin_memory=False)
sampling = dict(num_frames=8)
audio = dict(max_seconds=2)
video = dict(data_prefix=root, media_type='video')
sound = dict(data_prefix=root, media_type='audio')
both = dict(data_prefix=root, media_type='audio_video', pad_missing_audio=False)
train_dataloader = dict(
    batch_sampler=dict(batch_size=64),
    dataset=dict(
        table=dict(
            _delete_=True,
            scenes=dict(ann_file=f'{root}/captions/train_multi.json', **video),
            sounds=dict(ann_file=f'{root}/sounds/train.json', **sound),
            sounding_scenes=dict(
                ann_file=f'{root}/captions/train_audio_visual.json',
                caption_choice='avs_all',
                **both,
            ),
        ),
        mix=['scenes'],
        sampling=sampling,
        pipeline=[
            dict(type='RandomResizedCrop', size=64, scale=(0.7, 1.0), ratio=(1.0, 1.0)),
            dict(type='PackMedia'),
        ],
        audio=audio,
    ),
    **loader,
)
# Equal descriptions of sounds are one text, which several sounds fit.
held_out = dict(
    batch_size=25,
    dataset=dict(
        table=dict(
            _delete_=True,
            scenes_val=dict(type='RetrievalSet', ann_file=f'{root}/captions/val.json', **video),
            scenes_test=dict(type='RetrievalSet', ann_file=f'{root}/captions/test.json', **video),
            sounds_val=dict(
                type='RetrievalSet', ann_file=f'{root}/sounds/val.json', multi_vision=True, **sound
            ),
            sounds_test=dict(
                type='RetrievalSet', ann_file=f'{root}/sounds/test.json', multi_vision=True, **sound
            ),
            sounding_scenes_val=dict(
                type='RetrievalSet',
                ann_file=f'{root}/captions/val_audio_visual.json',
                caption_key='avs_captions',
                **both,
            ),
            sounding_scenes_test=dict(
                type='RetrievalSet',
                ann_file=f'{root}/captions/test_audio_visual.json',
                caption_key='avs_captions',
                **both,
            ),
        ),
        sets=['scenes_test'],
        max_text_length=None,
        sampling=sampling,
        pipeline=[dict(type='Resize', size=64), dict(type='PackMedia')],
        audio=audio,
    ),
    **loader,
)
val_dataloader = test_dataloader = held_out
# Of fifty candidates the matching head judges the best eight, as elsewhere 128 of a thousand.
val_evaluator = test_evaluator = [dict(type='RetrievalMetric', k_test=8)]
val_cfg = test_cfg = dict(amp_dtype=None)
del root, loader, sampling, audio, video, sound, both, held_out
