import functools
import http.server
import threading

import pytest
import torch
from huggingface_hub import constants

from internvideo.checkpoint.files import read_state_dict
from internvideo.checkpoint.sources import CheckpointSourceError, resolve_source, sibling_source


@pytest.fixture
def caches(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hf'))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    return tmp_path


@pytest.fixture
def server(tmp_path):
    """Address of a folder served on this machine, and the folder."""
    folder = tmp_path / 'served'
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{httpd.server_port}', folder
        httpd.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log, and cuts those whose name starts with ``cut`` in half."""

    def log_message(self, *args):
        pass

    def copyfile(self, source, outputfile):
        content = source.read()
        if self.path.startswith('/cut'):
            content = content[: len(content) // 2]
        outputfile.write(content)


def test_download_goes_to_the_cache_once(caches, server):
    address, folder = server
    torch.save({'model': {'w': torch.ones(3)}}, folder / 'x.pth')
    assert torch.equal(read_state_dict(f'{address}/x.pth')['w'], torch.ones(3))
    (folder / 'x.pth').unlink()
    assert torch.equal(read_state_dict(f'{address}/x.pth')['w'], torch.ones(3))


@pytest.mark.parametrize('name', ['cut.pth', 'absent.pth'])
def test_failed_download_leaves_nothing_behind(caches, server, name):
    address, folder = server
    (folder / 'cut.pth').write_bytes(b'x' * 100_000)
    with pytest.raises(CheckpointSourceError, match=rf'{address}/{name}.*path of the file'):
        read_state_dict(f'{address}/{name}')
    assert not [file for file in (caches / 'hub').rglob('*') if file.suffix == '.pth']


@pytest.mark.parametrize(
    'source',
    [
        'hf://OpenGVLab/Model/sub/x.pth@abc',
        'https://huggingface.co/OpenGVLab/Model/resolve/abc/sub/x.pth?download=true',
    ],
)
def test_hub_sources_share_a_cache_and_say_so_when_offline(caches, source):
    with pytest.raises(CheckpointSourceError, match=r'cache .*OpenGVLab/Model sub/x\.pth'):
        resolve_source(source)
    snapshot = caches / 'hf' / 'models--OpenGVLab--Model' / 'snapshots' / 'c0ffee' / 'sub'
    snapshot.mkdir(parents=True)
    (snapshot / 'x.pth').write_bytes(b'x')
    reference = caches / 'hf' / 'models--OpenGVLab--Model' / 'refs' / 'abc'
    reference.parent.mkdir()
    reference.write_text('c0ffee')
    assert resolve_source(source) == snapshot / 'x.pth'


@pytest.mark.parametrize('source', ['hf://OpenGVLab/Model', 'hf://a/b/c@', 's3://bucket/x.pth'])
def test_malformed_sources_are_named(source):
    with pytest.raises(ValueError, match=source):
        resolve_source(source)


@pytest.mark.parametrize(
    ('index', 'shard'),
    [
        ('hf://o/r/sub/i.json@v1', 'hf://o/r/sub/s.bin@v1'),
        ('hf://o/r/i.json', 'hf://o/r/s.bin'),
        ('https://host/dir/i.json?x=1', 'https://host/dir/s.bin?x=1'),
        ('/data/i.json', '/data/s.bin'),
    ],
)
def test_shards_lie_beside_their_index(index, shard):
    assert sibling_source(index, 's.bin') == shard
