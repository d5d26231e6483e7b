"""Stage-2 files into models that answer: released layouts, the decoder's start, our own files."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from internvideo.checkpoint import LoadReport, load_checkpoint, load_pretrained
from internvideo.checkpoint.adapters.question_answering import AnsweringAdapter, BertDecoderAdapter
from internvideo.checkpoint.report import CheckpointMismatchError
from internvideo.registry import MODELS
from internvideo.rehearsal.fake_model import build_on_meta
from tests.checkpoint.adapters.test_internvideo2_multi import manifest, save, shapes
from tests.models.tasks.question_answering.small_models import TEXT, model
from tests.models.tasks.retrieval.small_models import BERT, stage2
from tests.paths import CONFIGS

FAMILY = CONFIGS / 'internvideo2' / 'qa'
NEW_MAPS = 'crossattention.self.'


@pytest.mark.parametrize(
    ('size', 'file'), [('1B', 'stage2_visual_1b'), ('6B', 'stage2_audiovisual_6b')]
)
@pytest.mark.parametrize('leaf', ['msrvtt', 'anet_f8', 'msrvtt_mc'])
def test_released_layouts_fit(size, file, leaf):
    config = Config.fromfile(FAMILY / f'{size}_{leaf}.py').model
    net, report = build_on_meta(config), LoadReport()
    adapter = AnsweringAdapter(orig_t_size=4)
    published = {
        name: torch.zeros(tensor.shape, device='meta') for name, tensor in manifest(file).items()
    }
    state = adapter.to_ours(published, net, report)
    report.compare(shapes(state), shapes(net.state_dict()))
    assert report.explained, str(report)
    assert all(NEW_MAPS in name for name in report.new)
    assert len(report.new) == (0 if leaf == 'msrvtt_mc' else 4 * 5)


def moved(names: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in names.state_dict().items()}


def test_the_decoder_starts_from_the_layers_that_see(tmp_path):
    torch.manual_seed(1)
    source, net = stage2(text_encoder=BERT), model('VideoQuestionAnswering')
    report = load_pretrained(net, save(tmp_path, moved(source)), 'internvideo2_answering')
    ours, theirs = net.state_dict(), source.state_dict()
    upper = 'encoder.layer.1.intermediate.dense.weight'
    own = 'answer_decoder.bert.encoder.layer.0.intermediate.dense.weight'
    assert torch.equal(ours[own], theirs[f'text_encoder.bert.{upper}'])
    assert torch.equal(ours[f'text_encoder.{upper}'], theirs[f'text_encoder.bert.{upper}'])
    for name in (
        'cls.predictions.transform.dense.weight',
        'bert.embeddings.word_embeddings.weight',
    ):
        assert torch.equal(ours[f'answer_decoder.{name}'], theirs[f'text_encoder.{name}'])
    query = 'encoder.layer.{}.crossattention.self.query.weight'
    first = f'answer_decoder.bert.{query.format(0)}'
    assert torch.equal(ours[first], theirs[f'text_encoder.bert.{query.format(1)}'])
    assert first.replace('query', 'key') in report.new
    assert {name.split('.')[0] for name in report.new} == {'answer_decoder'}
    assert {'temp', 'itm_head.weight', 'vision_proj.weight'} <= set(report.left_over)


def test_the_decoder_may_start_elsewhere(tmp_path):
    net = model('VideoQuestionAnswering')
    before = moved(net.answer_decoder)
    options = dict(adapter='internvideo2_answering', decoder='init')
    report = load_pretrained(net, save(tmp_path, moved(stage2())), **options)
    assert all(torch.equal(before[name], t) for name, t in net.answer_decoder.state_dict().items())
    assert len(report.new) == len(before)
    with pytest.raises(ValueError, match='decoder must be'):
        AnsweringAdapter(decoder='bert')


INIT = dict(type='Published', adapter='internvideo2_answering', checkpoint='none.pth')


def test_stage_2_chooses_without_training_and_cannot_write(tmp_path):
    source = stage2()
    path = save(tmp_path, moved(source))
    chooser = model('VideoMultipleChoice', init_cfg=INIT)
    load_checkpoint(chooser, path)
    assert torch.equal(chooser.itm_head.weight, source.itm_head.weight)
    with pytest.raises(CheckpointMismatchError, match=r'brings no answer_decoder\.'):
        load_checkpoint(model('VideoQuestionAnswering', init_cfg=INIT), path)


@pytest.mark.parametrize('kind', ['VideoQuestionAnswering', 'VideoMultipleChoice'])
def test_our_own_files_come_back(kind, tmp_path):
    first, second = model(kind, init_cfg=INIT), model(kind, init_cfg=INIT)
    path = tmp_path / 'own.pth'
    torch.save(dict(state_dict=moved(first)), path)
    assert load_checkpoint(second, path).explained
    assert all(torch.equal(moved(first)[name], t) for name, t in second.state_dict().items())


def test_choosing_starts_from_a_model_that_writes(tmp_path):
    source, chooser = model('VideoQuestionAnswering'), model('VideoMultipleChoice')
    path = save(tmp_path, moved(source))
    with pytest.raises(CheckpointMismatchError, match=r'missing.*itm_head'):
        load_pretrained(chooser, path, 'internvideo2_answering')
    adapter = dict(type='internvideo2_answering', new_parts=['itm_head'])
    report = load_pretrained(chooser, path, adapter)
    assert set(report.new) == {'itm_head.weight', 'itm_head.bias'}
    assert {name.split('.')[0] for name in report.left_over} == {'answer_decoder'}
    ours, theirs = chooser.text_encoder.state_dict(), source.text_encoder.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_a_file_of_another_model_is_refused(tmp_path):
    state = moved(stage2()) | {'text_encoder.surprise.weight': torch.zeros(1)}
    with pytest.raises(CheckpointMismatchError, match=r'unexpected.*surprise'):
        load_pretrained(
            model('VideoMultipleChoice'), save(tmp_path, state), 'internvideo2_answering'
        )


def test_a_decoder_takes_the_last_layers_of_a_bert():
    file = MODELS.build(TEXT | dict(fusion_layer=2, media_dim=None)).state_dict()
    fields = dict(type='FusionBertForMaskedLM', media_dim=16, fusion_layer=0, num_hidden_layers=1)
    decoder, report = MODELS.build(TEXT | fields), LoadReport()
    state = BertDecoderAdapter().to_ours(file, decoder, report)
    report.compare(shapes(state), shapes(decoder.state_dict()))
    name = 'encoder.layer.{}.output.dense.weight'
    assert torch.equal(state[f'bert.{name.format(0)}'], file[name.format(1)])
    assert report.explained and name.format(0) in report.left_over
