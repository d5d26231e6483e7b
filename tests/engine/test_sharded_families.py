"""Models of every family take the step of one process when their weights lie in shards."""

import importlib.util
import random

import pytest
import torch
import torch.distributed as dist
from mmengine.registry import init_default_scope

from internvideo.engine.optimizers.optim_wrappers import OptimWrapper
from internvideo.engine.strategies.deepspeed import DeepSpeed
from internvideo.engine.strategies.fsdp import FSDP
from tests.models.tasks.question_answering import small_models as answering
from tests.models.tasks.retrieval import small_models as retrieving
from tests.processes import in_processes

pytestmark = pytest.mark.slow
STRATEGIES = dict(fsdp=FSDP)
if importlib.util.find_spec('deepspeed'):
    STRATEGIES['zero3'] = lambda: DeepSpeed(stage=3)
# Three layers of which many are skipped, other ones on each process.
AUDIO_LAYERDROP = retrieving.AUDIO | dict(encoder_layers=3, encoder_layerdrop=0.4)
MOBILE = dict(
    type='MobileCLIPText', dim=16, n_transformer_layers=2, n_heads_per_layer=2, projection_dim=12
)


def media(rank, audio=False):
    inputs = retrieving.batch(3, audio=audio, seed=rank)
    return dict(inputs=inputs, data_samples=retrieving.samples([3 * rank + i for i in range(3)]))


def questions(net, samples):
    return net.data_preprocessor(answering.batch(samples), True)


def open_ended(rank):
    net = answering.model('VideoQuestionAnswering')
    torch.manual_seed(rank)
    return net, questions(net, [answering.open_sample(0, ('ab',)), answering.open_sample(1)])


def multiple_choice(rank):
    net = answering.model('VideoMultipleChoice')
    torch.manual_seed(rank)
    return net, questions(net, [answering.choice_sample(clip) for clip in range(2)])


FAMILIES = dict(
    stage2=lambda rank: (retrieving.stage2(), media(rank)),
    stage2_audio=lambda rank: (
        retrieving.stage2_audio(audio_encoder=AUDIO_LAYERDROP),
        media(rank, audio=True),
    ),
    clip_llama=lambda rank: (retrieving.clip(open_text_lora=True), media(rank)),
    clip_mobile=lambda rank: (
        retrieving.clip(text_encoder=MOBILE, freeze_vision=False, freeze_text=False),
        media(rank),
    ),
    open_ended=open_ended,
    multiple_choice=multiple_choice,
)


def made(family, rank):
    init_default_scope('internvideo')
    torch.manual_seed(0)
    net, data = FAMILIES[family](rank)
    return net.train(), data


def optimizer_of(net):
    learning = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return torch.optim.SGD(learning, lr=0.1)


def seeded(rank):
    torch.manual_seed(rank)
    random.seed(rank)


def whole_step(family, rank):
    """Loss and state after a step with gradients averaged over processes."""
    net, data = made(family, rank)
    optimizer = optimizer_of(net)
    seeded(rank)
    loss, _ = net.parse_losses(net(**data, mode='loss'))
    loss.backward()
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.grad = (
                torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            )
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()
    optimizer.step()
    return loss.item(), net


def sharded_step(family, rank, strategy):
    net, data = made(family, rank)
    wrapper = OptimWrapper(optimizer_of(net))
    net, wrapper = strategy.prepare_training(strategy.wrap_model(net), wrapper)
    seeded(rank)
    loss, _ = strategy.unwrap(net).parse_losses(net(**data, mode='loss'))
    wrapper.update_params(loss)
    return loss.item(), net


def compare(rank, name):
    """{family: (difference of losses, of weights, of evaluated weights)}."""
    torch.use_deterministic_algorithms(True)
    found = {}
    for family in FAMILIES:
        loss, net = whole_step(family, rank)
        strategy = STRATEGIES[name]()
        sharded_loss, sharded = sharded_step(family, rank, strategy)
        weights, state = net.state_dict(), strategy.model_state(sharded)
        assert rank or weights.keys() == state.keys()
        with strategy.evaluated(sharded) as copied:
            evaluated = {key: value.clone() for key, value in copied.state_dict().items()}
        found[family] = (
            abs(loss - sharded_loss),
            max((float((weights[k] - state[k]).abs().max()) for k in state), default=0.0),
            max(float((weights[k] - evaluated[k]).abs().max()) for k in weights),
        )
    return found


@pytest.fixture(scope='module', params=STRATEGIES)
def differences(request):
    return in_processes(2, compare, request.param)


@pytest.mark.parametrize('family', FAMILIES)
def test_shards_step_like_one_process(differences, family):
    for rank in range(2):
        assert max(differences[rank][family]) < 1e-5
