"""The console script: its commands, its errors, and how light it starts."""

import subprocess
import sys

import pytest

from internvideo.cli.__main__ import COMMANDS, run
from internvideo.cli.config_names import named_config
from internvideo.engine.command_line import UsageError
from tests.paths import CONFIGS, ROOT

TOOLS = {  # commands whose script under tools/ has another name
    'convert': 'convert_checkpoint',
    'search': 'search_videos',
    'precompute': 'precompute_targets',
    'check-data': 'data/check',
    'make-synthetic': 'data/make_synthetic',
    'report': 'analysis/report',
    'merge-predictions': 'analysis/merge_predictions',
    'compare-manifests': 'analysis/compare_manifests',
    'scaling-limits': 'analysis/scaling_limits',
    'collect-env': 'analysis/collect_env',
}


def python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def imported_by(*arguments: str) -> set[str]:
    done = python('-X', 'importtime', *arguments)
    assert done.returncode == 0, done.stderr
    return {line.rpartition('|')[2].strip() for line in done.stderr.splitlines()}


def test_help_lists_the_commands_and_imports_nothing_heavy(capsys):
    assert run(['--help']) == 0
    listed = capsys.readouterr().out
    assert all(f'  {name} ' in listed for name in COMMANDS)
    assert not imported_by('-m', 'internvideo.cli', '--help') & {'torch', 'mmengine', 'numpy'}


@pytest.mark.parametrize('name', ['train', 'test', 'verify', 'recognize', 'search', 'precompute'])
def test_help_of_a_command_imports_nothing_heavy(name):
    assert not imported_by('-m', 'internvideo.cli', name, '--help') & {'torch', 'mmengine', 'numpy'}


@pytest.mark.parametrize('name', COMMANDS)
def test_a_command_and_its_script_take_the_same_options(name, capsys):
    with pytest.raises(SystemExit) as leaving:
        run([name, '--help'])
    assert leaving.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f'usage: internvideo {name} ')
    tool = f'tools/{TOOLS.get(name, name.replace("-", "_"))}.py'
    script = python(tool, '--help').stdout
    # The name of the program is of another length, so lines may break elsewhere.
    assert script.split()[2:] == said.split()[3:]


def test_every_script_is_a_command():
    scripts = {path.relative_to(ROOT / 'tools').with_suffix('').as_posix()
               for path in (ROOT / 'tools').rglob('*.py')}  # fmt: skip
    assert scripts == {TOOLS.get(name, name.replace('-', '_')) for name in COMMANDS}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [(['trian'], "no command 'trian'; did you mean train?"), (['zzz'], '--help lists')],
)
def test_an_unknown_command_is_named(arguments, message, capsys):
    assert run(arguments) == 2
    assert message in capsys.readouterr().err


def test_without_a_command_the_usage_is_shown(capsys):
    assert run([]) == 2
    assert 'usage: internvideo COMMAND' in capsys.readouterr().out


def test_configs_are_found_by_path_and_by_name(tmp_path, monkeypatch):
    file = str(CONFIGS / 'internvideo2' / 'S14_k400.py')
    assert named_config(file) == file
    monkeypatch.chdir(tmp_path)
    assert named_config('internvideo2/S14_k400') == file
    assert named_config('configs/internvideo2/S14_k400.py') == file


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('internvideo2/S14_k40', 'S14_k40 does not exist; did you mean .*internvideo2/S14_k400'),
        ('gone.py', 'config file gone.py does not exist'),
    ],
)
def test_a_config_that_is_nowhere_is_named(text, message):
    with pytest.raises(UsageError, match=message):
        named_config(text)
