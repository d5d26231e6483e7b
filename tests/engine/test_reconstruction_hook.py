"""Pictures in the course of training, which leave the training as it is."""

import pytest

from internvideo.engine.hooks.reconstruction_hook import ReconstructionHook
from tests.engine.small_run import assert_equal_states, build, final_state, small_config
from tests.models.tasks.pretraining.test_masked_autoencoder import run_config

HOOK = dict(type='ReconstructionHook', num_clips=3)


def with_hook(work_dir, **fields):
    config = run_config(work_dir)
    config.custom_hooks = [*config.custom_hooks, HOOK | fields]
    return build(config)


def test_a_run_with_pictures_ends_bitwise_like_one_without(tmp_path):
    build(run_config(tmp_path / 'plain')).train()
    with_hook(tmp_path / 'drawn').train()
    assert_equal_states(final_state(tmp_path / 'drawn'), final_state(tmp_path / 'plain'))
    names = {path.name for path in (tmp_path / 'drawn/reconstructions').iterdir()}
    assert names == {'epoch_1.png', 'epoch_2.png'}
    assert list((tmp_path / 'drawn').glob('*/vis_data/vis_image/reconstructions_*.png'))


def test_iterations_count_where_asked_for(tmp_path):
    with_hook(tmp_path, interval=5, by_epoch=False).train()
    names = {path.name for path in (tmp_path / 'reconstructions').iterdir()}
    assert names == {'iter_5.png', 'iter_10.png'}


def test_models_that_reconstruct_nothing_and_odd_intervals_are_named(tmp_path):
    config = small_config(tmp_path, log_level='ERROR')
    config.custom_hooks = [HOOK]
    with pytest.raises(ValueError, match='VectorRecognizer reconstructs nothing'):
        build(config).train()
    with pytest.raises(ValueError, match='interval=0 and num_clips=4 must be above 0'):
        ReconstructionHook(interval=0)
