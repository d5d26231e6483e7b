"""Open-ended answers: the loss of weighted answers, ranking, writing, blindness, bad input."""

import pytest
import torch

from tests.models.tasks.question_answering.small_models import END, batch, model, open_sample, run

KIND = 'VideoQuestionAnswering'


@pytest.fixture
def net():
    torch.manual_seed(0)
    built = model(KIND)
    with torch.no_grad():
        for parameter in built.answer_decoder.parameters():
            parameter.mul_(4)  # answers that differ clearly
    return built.eval()


def read(net, data):
    out = net.data_preprocessor(data, True)
    return out['inputs'], net.score(**out), out['inputs']['question']['attention_mask']


def test_the_loss_is_that_of_single_answers_by_their_weights(net):
    asked = [
        open_sample(0, ('ab', 'c'), weights=(0.75, 0.25)),
        open_sample(1, ('d',), question='a longer one'),
    ]
    data = batch(asked)
    whole = run(net, data, 'loss')['loss_answer']
    parts = []
    for clip, answers in ((0, ('ab',)), (0, ('c',)), (1, ('d',))):
        single = batch([open_sample(clip, answers, question=asked[clip].question)])
        parts.append(run(net, dict(single, inputs=data['inputs']), 'loss')['loss_answer'])
    torch.testing.assert_close(whole, (0.75 * parts[0] + 0.25 * parts[1] + parts[2]) / 2)


def test_everything_that_learns_gets_a_gradient(net):
    run(net.train(), batch([open_sample(0), open_sample(1)]), 'loss')['loss_answer'].backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_likelihoods_are_products_of_next_tokens(net):
    inputs, states, seen = read(net, batch([open_sample(0, ('abc',))], 1))
    ids, mask = inputs['answer']['input_ids'], inputs['answer']['attention_mask']
    row = torch.zeros(1, dtype=torch.long)
    steps = [
        net.next_token_logits(states, seen, row, ids[:, : n + 1])[0, -1].log_softmax(0)[
            ids[0, n + 1]
        ]
        for n in range(ids.shape[1] - 1)
    ]
    assert int(ids[0, -1]) == END and len(steps) == 4
    found = net.log_likelihood(states, seen, row, ids, mask)
    torch.testing.assert_close(found[0], torch.stack(steps).sum())


CANDIDATES = ('a', 'ab', 'b', 'bc', 'cab', 'da', 'e')


@pytest.mark.parametrize('chunk', [1, 5, 512])
def test_the_likeliest_candidate_is_chosen(net, chunk):
    net.set_candidates(CANDIDATES)
    net.num_candidates, net.pairs_per_forward = None, chunk
    asked = [open_sample(0), open_sample(1, question='why'), open_sample(0, question='how')]
    data = batch(asked)
    out = run(net, data, 'predict')
    with torch.no_grad():
        likelihoods = [
            [-run(net, dict(data, data_samples=[open_sample(s.clip, (text,), question=s.question)]),
                  'loss')['loss_answer'] for text in CANDIDATES]
            for s in asked
        ]  # fmt: skip
    best = torch.tensor(likelihoods).max(dim=1)
    assert [s.pred_answer for s in out] == [CANDIDATES[i] for i in best.indices]
    torch.testing.assert_close(torch.stack([s.pred_score for s in out]), best.values)


def test_few_candidates_are_those_of_the_likeliest_first_tokens(net):
    net.set_candidates(CANDIDATES)
    data = batch([open_sample(0)])
    inputs, states, seen = read(net, data)
    start = inputs['question']['input_ids'][:, :1]
    row = torch.zeros(1, dtype=torch.long)
    first = net.next_token_logits(states, seen, row, start)[0, 0]
    tokens = net.data_preprocessor.tokens(CANDIDATES)['input_ids'][:, 1]
    net.num_candidates = 1
    guess = run(net, data, 'predict')[0].pred_answer
    assert first[tokens[CANDIDATES.index(guess)]] == first[tokens].max()


def test_without_candidates_the_answer_is_written(net):
    net.set_candidates(['a'])
    net.set_candidates(None)
    out = run(net, batch([open_sample(0), open_sample(1)]), 'predict')
    assert all(isinstance(s.pred_answer, str) and s.pred_score <= 0 for s in out)
    _, states, seen = read(net, batch([open_sample(0)]))
    net.max_new_tokens = 3
    ids, score = net.write(states, seen, torch.tensor([[1]]))
    ends = int((ids[0] == END).nonzero()[0]) + 1 if (ids == END).any() else ids.shape[1]
    expected = net.log_likelihood(
        states,
        seen,
        torch.zeros(1, dtype=torch.long),
        ids[:, :ends],
        torch.ones_like(ids[:, :ends]),
    )
    assert ids.shape[1] <= 4
    torch.testing.assert_close(score, expected)


def test_a_blind_model_sees_nothing_and_has_the_same_parameters(net):
    blind = model(KIND, blind=True).eval()
    blind.load_state_dict(net.state_dict())
    asked = [open_sample(0), open_sample(1)]
    seeing = [run(net, batch(asked), 'loss')['loss_answer'] for _ in range(2)]
    unseeing = [run(blind, batch(asked), 'loss')['loss_answer'] for _ in range(2)]
    assert seeing[0] != seeing[1] and unseeing[0] == unseeing[1]


def test_unreadable_videos_are_passed_over(net):
    lost = open_sample(5, unreadable='no stream')
    out = run(net, batch([open_sample(0), lost]), 'predict')
    assert 'pred_answer' in out[0] and 'pred_answer' not in out[1]
    assert net(None, [lost], mode='predict') == [lost]
    with pytest.raises(ValueError, match='nothing readable'):
        net(None, [lost], mode='loss')
    with pytest.raises(ValueError, match='no clip came with 1 readable'):
        net(None, [open_sample(0)], mode='predict')


def test_a_long_question_is_cut(net):
    net.data_preprocessor.max_question_length = 5
    tokens = net.data_preprocessor(batch([open_sample(0, question='a' * 99)]))['inputs']['question']
    assert tokens['input_ids'].shape == (1, 5) and tokens['input_ids'][0, -1] == END


def test_frozen_parts_do_not_learn():
    frozen = model(KIND, freeze=['vision', 'text', 'decoder'], unfreeze_keys=['cls.'])
    learning = {name for name, p in frozen.named_parameters() if p.requires_grad}
    assert learning and all(name.startswith('answer_decoder.cls.') for name in learning)
    assert not frozen.train().vision_encoder.training


@pytest.mark.parametrize(
    ('fields', 'reason'),
    [
        (dict(freeze=['audio']), 'freeze must be of vision, text, decoder'),
        (dict(num_candidates=0), 'num_candidates must be positive'),
        (dict(pairs_per_forward=0), 'pairs_per_forward must be positive'),
    ],
)
def test_settings_are_checked(fields, reason):
    with pytest.raises(ValueError, match=reason):
        model(KIND, **fields)
