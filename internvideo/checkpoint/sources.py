"""Sources of checkpoint files: paths, ``hf://``, ``package://`` and http(s) addresses."""

import hashlib
import os
import re
import shutil
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from mmengine.logging import print_log

from internvideo.fileio.atomic import atomic_path
from internvideo.fileio.packaged import is_packaged, package_path

HUB_HOSTS = ('huggingface.co', 'www.huggingface.co', 'hf.co')
HUB_FORM = 'hf://ORGANISATION/REPOSITORY/PATH/FILE[@REVISION]'
TIMEOUT_SECONDS = 30

_HUB_SOURCE = re.compile(
    r'hf://(?P<repo>[^/@]+/[^/@]+)/(?P<file>[^@]*[^/@])(?:@(?P<revision>[^@]+))?'
)
# Addresses copied from the page of a file say blob or raw, and mean the same file as resolve.
_HUB_PATH = re.compile(
    r'/(?P<repo>[^/]+/[^/]+)/(?:resolve|blob|raw)/(?P<revision>[^/]+)/(?P<file>.+)'
)


class CheckpointSourceError(OSError):
    """Failure to fetch a remote checkpoint, with what was tried and what to do instead."""


def resolve_source(source: str | os.PathLike) -> Path:
    """The local file of ``source``, downloaded into a cache when it is remote.

    Args:
        source: a path; ``hf://organisation/repository/path/file[@revision]``;
            ``package://name/path``, a file of an installed package; or an http(s) address (those
            of huggingface.co go through the hub client and its cache, others into
            ``checkpoints`` below :func:`torch.hub.get_dir`).

    Raises:
        FileNotFoundError: the local file does not exist.
        ImportError: the package is not installed.
        ValueError: the source cannot be parsed.
        CheckpointSourceError: fetching failed, for instance without a network.
    """
    text = os.fspath(source)
    if text.startswith('hf://'):
        return _from_hub(text, *_parse_hub(text))
    if text.startswith(('http://', 'https://')):
        return _from_address(text)
    if is_packaged(text):
        return _checked(package_path(text))
    if '://' in text:
        raise ValueError(f'checkpoint {text!r}: unknown scheme; use a path, {HUB_FORM} or http(s)')
    return _checked(Path(text).expanduser())


def _checked(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    if path.is_dir():
        raise IsADirectoryError(f'checkpoint {path} is a folder; name the file in it')
    return path


def sibling_source(source: str | os.PathLike, name: str) -> str:
    """The source of the file ``name`` beside ``source`` (the shards beside an index)."""
    text = os.fspath(source)
    if text.startswith('hf://'):
        repo, file, revision = _parse_hub(text)
        folder = file.rpartition('/')[0]
        file = f'{folder}/{name}' if folder else name
        return f'hf://{repo}/{file}' + (f'@{revision}' if revision else '')
    if text.startswith(('http://', 'https://')):
        parts = urlsplit(text)
        return parts._replace(path=f'{parts.path.rpartition("/")[0]}/{name}').geturl()
    return str(Path(text).expanduser().parent / name)


def _parse_hub(source: str) -> tuple[str, str, str | None]:
    match = _HUB_SOURCE.fullmatch(source)
    if match is None:
        raise ValueError(f'checkpoint {source!r} is not of the form {HUB_FORM}')
    return match['repo'], match['file'], match['revision']


def _from_address(address: str) -> Path:
    parts = urlsplit(address)
    match = _HUB_PATH.fullmatch(parts.path)
    if parts.hostname in HUB_HOSTS and match:
        return _from_hub(address, match['repo'], unquote(match['file']), unquote(match['revision']))
    return _download(address)


def _from_hub(source: str, repo: str, file: str, revision: str | None) -> Path:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(hf_hub_download(repo, file, revision=revision))
    except HFValidationError as error:
        raise ValueError(f'checkpoint {source!r}: {error}') from error
    except (OSError, HfHubHTTPError) as error:
        tried = f'{constants.ENDPOINT} and the cache {constants.HF_HUB_CACHE}'
        at = f' --revision {revision}' if revision else ''
        command = f'hf download {repo} {file}{at}'
        raise _fetch_error(source, tried, error, f'`{command} --local-dir DIR`') from error


def _download(address: str) -> Path:
    import torch.hub
    from filelock import FileLock

    folder = Path(torch.hub.get_dir()) / 'checkpoints'
    folder.mkdir(parents=True, exist_ok=True)
    # Files of the same name from different places must not stand in for each other.
    digest = hashlib.sha256(address.encode()).hexdigest()[:10]
    target = folder / f'{digest}-{Path(unquote(urlsplit(address).path)).name or "checkpoint"}'
    if target.exists():
        return target
    with FileLock(f'{target}.lock'):  # the processes of one node fetch it once
        # Another process may have fetched it while this one waited for the lock.
        if not target.exists():
            print_log(f'downloading {address} to {target}', logger='current')
            _fetch(address, target)
    return target


def _fetch(address: str, target: Path) -> None:
    request = Request(address, headers={'User-Agent': 'internvideo'})
    try:
        with atomic_path(target) as temporary:
            with temporary.open('wb') as out, urlopen(request, timeout=TIMEOUT_SECONDS) as reply:
                shutil.copyfileobj(reply, out)
                expected, written = reply.headers.get('Content-Length'), out.tell()
            # A connection that closes early looks like the end of the file.
            if expected is not None and int(expected) != written:
                raise URLError(f'the connection closed after {written} of {expected} bytes')
    except OSError as error:
        tried = f'the network and the cache {target}'
        raise _fetch_error(address, tried, error, 'any browser') from error


def _fetch_error(source: str, tried: str, error: Exception, by: str) -> CheckpointSourceError:
    reason = ' '.join(str(error).split())[:300]
    return CheckpointSourceError(
        f'cannot fetch checkpoint {source} (tried {tried}): {type(error).__name__}: {reason}. '
        f'Without network access, fetch it elsewhere with {by} and give the path of the file '
        'in place of the address.'
    )
