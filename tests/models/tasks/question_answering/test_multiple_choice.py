"""Multiple choice: scores are those of stage 2, options differ in number, long questions."""

import pytest
import torch

from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from tests.models.tasks.question_answering.small_models import (
    Letters,
    batch,
    choice_sample,
    model,
    open_sample,
    run,
)
from tests.models.tasks.retrieval.small_models import stage2

KIND = 'VideoMultipleChoice'


@pytest.fixture
def net():
    torch.manual_seed(0)
    return model(KIND).eval()


def test_scores_are_those_of_the_matching_head_of_stage_2(net):
    retriever = stage2(loss_weights=dict(vtc=1.0, vtm=1.0)).eval()
    own = {
        name.replace('text_encoder.bert.', 'text_encoder.'): tensor
        for name, tensor in retriever.state_dict().items()
    }
    net.load_state_dict({name: own[name] for name in net.state_dict()})
    data = batch([choice_sample(0, ('ab', 'c')), choice_sample(1, ('d', 'ef'))])
    inputs = net.data_preprocessor(data)['inputs']
    media = retriever.encode_video(inputs['video'])
    text = retriever.encode_text(**inputs['option'])
    rows = torch.tensor([0, 0, 1, 1])
    expected = retriever.match_scores(media, text, rows, torch.arange(4), 'vision')
    torch.testing.assert_close(run(net, data, 'tensor'), expected)


@pytest.mark.parametrize('chunk', [1, 3, 512])
def test_questions_may_have_different_numbers_of_options(net, chunk):
    net.pairs_per_forward = chunk
    asked = [choice_sample(0, ('a', 'b', 'c'), 2), choice_sample(1, ('d', 'e'), 0)]
    data = batch(asked)
    alone = [run(net, dict(data, data_samples=[s]), 'loss')['loss_choice'] for s in asked]
    both = run(net, data, 'loss')['loss_choice']
    torch.testing.assert_close(both, torch.stack(alone).mean())
    with torch.no_grad():
        out = run(net, data, 'predict')
    assert [len(s.pred_score) for s in out] == [3, 2]
    torch.testing.assert_close(-out[0].pred_score[2].log(), alone[0])


def test_everything_that_learns_gets_a_gradient(net):
    asked = [choice_sample(0), choice_sample(1, answer=1)]
    run(net.train(), batch(asked), 'loss')['loss_choice'].backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_of_a_long_text_the_option_is_kept():
    words = MODELS.build(
        dict(type='QuestionPreprocessor', tokenizer=Letters(), max_question_length=12)
    )
    assert words.joined('abc def ghi', 'xyz') == 'abc xyz'
    assert words.joined('abc def', 'x') == 'abc def x'
    assert words.joined('', 'xyz') == 'xyz'
    assert words.joined('abc', 'x' * 20) == 'x' * 20


def test_a_batch_is_of_one_task(net):
    with pytest.raises(ValueError, match='some data samples of the batch have options'):
        run(net, batch([choice_sample(0), open_sample(1)]), 'loss')


def test_questions_need_a_tokenizer():
    silent = MODELS.build(dict(type='QuestionPreprocessor'))
    with pytest.raises(ValueError, match='tokenizer'):
        silent(batch([VideoDataSample(metainfo=dict(question='what'))]))
