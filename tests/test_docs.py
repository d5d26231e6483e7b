"""Pages name what exists: paths, links, Python names, configs, options; and they read well."""

import ast
import builtins
import contextlib
import importlib
import io
import keyword
import re
import shlex
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from internvideo.cli.__main__ import COMMANDS, run
from internvideo.engine.command_line import apply_options, split_option
from internvideo.hub.model_zoo import list_models
from tests.paths import CONFIGS, ROOT
from tests.test_terms import TERMS, terms_in
from tests.tools.test_console import TOOLS

PAGES = [
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md')),
    *sorted((ROOT / 'docs').glob('*.md')),
    *sorted((ROOT / 'projects').rglob('README.md')),
    *sorted((ROOT / 'tools').rglob('README.md')),
]
LONGEST_LINE = 120
# Plain words in prose, though not as names: "a plan", "a crash".
PLAIN = TERMS['a plain name'] - {'twin', 'twins', 'surgery', 'toy', 'toys'}

# Folders that paths in pages start from; rooms of the package are named without it, too.
ROOTS = (ROOT, ROOT / 'internvideo', CONFIGS, CONFIGS / '_base_', CONFIGS / 'internvideo2')
TOP = (
    'benchmarks|configs|docs|internvideo|projects|requirements|tests|tools|_base_|models|datasets'
    '|evaluation|checkpoint|engine|verification|cli'
)
PATH = re.compile(rf'(?<![\w/.$-])((?:{TOP})/[\w./{{}},*-]+)')
# What the reader makes, or a command writes.
MADE_BY_THE_READER = re.compile(r'projects/mine\b|configs/my_|datasets/my_')
PLACEHOLDER = re.compile(r'\b[A-Z]{2,}\b')
ELLIPSIS = re.compile(r',? ?\.\.\.(?=\))')
MODEL_NAME = re.compile(r'(?<![\w/.])(internvideo2/[\w/{},*.-]+)')
DOTTED = re.compile(r'(?<![\w/.-])internvideo(?:\.\w+)+')
COMMAND = re.compile(
    r'(?:^|\s)(?:(?:python )?tools/([\w/]+)\.(?:py|sh|sbatch)|internvideo ([a-z][a-z-]*)) '
)
OPTION = re.compile(r'(?<![\w-])--[a-z][a-z-]*')
WRAPPERS = {  # launch scripts, by the tool that takes their further arguments
    'dist_train': 'train',
    'slurm_train': 'train',
    'slurm/train': 'train',
    'dist_test': 'test',
    'slurm_test': 'test',
    'slurm/test': 'test',
    'slurm/extract_features': 'extract_features',
}
# Launchers whose options stand in the same line as a tool's.
LAUNCHER_OPTIONS = {
    *('--array', '--cpus-per-task', '--gpus', '--gres', '--nodes'),
    *('--ntasks-per-node', '--partition', '--time', '--wrap'),
}


class Block(NamedTuple):
    """A fenced block: where it begins, its language, its text."""

    line: int
    language: str
    text: str


class Page(NamedTuple):
    """A page in parts; lines are (number, text)."""

    path: Path
    prose: list[tuple[int, str]]
    tables: list[tuple[int, str]]
    blocks: list[Block]

    @property
    def written(self) -> list[tuple[int, str]]:
        """Lines outside fenced blocks."""
        return sorted(self.prose + self.tables)

    @property
    def everything(self) -> list[tuple[int, str]]:
        """All lines."""
        inside = [
            (block.line + number, text)
            for block in self.blocks
            for number, text in enumerate(block.text.splitlines(), start=1)
        ]
        return sorted(self.written + inside)

    @property
    def spans(self) -> list[tuple[int, str]]:
        """Inline code."""
        return [(n, span) for n, text in self.written for span in re.findall(r'`([^`]+)`', text)]

    def blocks_in(self, *languages: str) -> list[Block]:
        """Fenced blocks of some languages."""
        return [block for block in self.blocks if block.language in languages]


def parse(path: Path, text: str) -> Page:
    """Split a page into prose, tables and fenced blocks."""
    page = Page(path, [], [], [])
    fence = None
    for number, line in enumerate(text.splitlines(), start=1):
        mark = line.strip()
        if mark.startswith('```'):
            if fence is None:
                fence = (number, mark.strip('`').strip(), [])
            else:
                page.blocks.append(Block(fence[0], fence[1], textwrap.dedent('\n'.join(fence[2]))))
                fence = None
        elif fence is not None:
            fence[2].append(line)
        elif mark.startswith('|'):
            page.tables.append((number, line))
        else:
            page.prose.append((number, line))
    return page


@cache
def read(path: Path) -> Page:
    """Read a page of the repository."""
    return parse(path, path.read_text(encoding='utf-8'))


def expand(text: str) -> Iterator[str]:
    """Write out braces: ``{a,b}c`` is ``ac`` and ``bc``."""
    found = re.search(r'\{([^{}]*)\}', text)
    if found is None:
        yield text
        return
    for choice in found.group(1).split(','):
        yield from expand(text[: found.start()] + choice + text[found.end() :])


def exists(path: str, roots: tuple[Path, ...] = ROOTS) -> bool:
    """Tell whether a path, with ``*`` and placeholders such as NAME, is one of the repository."""
    pattern = PLACEHOLDER.sub('*', path.rstrip('./'))
    return any(next(root.glob(pattern), None) is not None for root in roots)


def missing_paths(page: Page) -> list[str]:
    return [
        f'{line}: no path {path}'
        for line, text in page.everything
        for found in PATH.findall(text)
        if not MADE_BY_THE_READER.match(found)
        for path in expand(found.rstrip('.,-'))
        if not exists(path, (*ROOTS, page.path.parent))
    ]


def missing_models(page: Page) -> list[str]:
    """Names of the model zoo without a config."""
    return [
        f'{line}: no config {name}'
        for line, text in page.everything
        for found in MODEL_NAME.findall(text)
        for name in expand(found.rstrip('.,-'))
        if not any(exists(name + end, (CONFIGS,)) for end in ('', '.py'))
    ]


@cache
def resolves(name: str) -> bool:
    """Tell whether a dotted name is a module, or something that a module holds."""
    parts = name.split('.')
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module('.'.join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def missing_names(page: Page) -> list[str]:
    """Dotted names, and names imported in examples, that the package lacks."""
    names = [(line, name) for line, text in page.everything for name in DOTTED.findall(text)]
    for block in page.blocks_in('python'):
        for node in ast.walk(ast.parse(ELLIPSIS.sub('', block.text))):
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('internvideo'):
                names += [(block.line, f'{node.module}.{each.name}') for each in node.names]
    return [f'{line}: no {name}' for line, name in names if not resolves(name)]


def slug(title: str) -> str:
    """Anchor that GitHub gives a title."""
    return re.sub(r'[^\w\- ]', '', title.strip().lower()).replace(' ', '-')


def broken_links(page: Page) -> list[str]:
    faults = []
    for line, text in page.written:
        for target in re.findall(r'\]\(([^)\s]+)\)', re.sub(r'`[^`]*`', '', text)):
            if re.match(r'[a-z]+:', target):
                continue
            path, _, anchor = target.partition('#')
            aim = (page.path.parent / path).resolve() if path else page.path
            if not aim.exists():
                faults.append(f'{line}: link to {path}, which does not exist')
            elif anchor and anchor not in [
                slug(title.lstrip('#')) for _, title in read(aim).prose if title.startswith('#')
            ]:
                faults.append(f'{line}: {aim.name} has no section #{anchor}')
    return faults


@cache
def options_of(tool: str) -> frozenset[str]:
    """Options of a script below ``tools`` or a command of the console script."""
    tool = WRAPPERS.get(tool, tool)
    name = next((name for name, script in TOOLS.items() if script == tool), None)
    name = name or tool.replace('_', '-')
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        run([name, '--help'])
    return frozenset(OPTION.findall(said.getvalue()))


def commands(page: Page) -> Iterator[tuple[int, str, str]]:
    """Line, tool and text of each command of the page."""
    texts = list(page.spans)
    for block in page.blocks_in('bash', 'sh', 'shell', ''):
        whole = block.text.replace('\\\n', ' ')
        texts += [(block.line, re.sub(r'(^|\s)#.*', '', line)) for line in whole.splitlines()]
    for line, text in texts:
        for found in COMMAND.finditer(text + ' '):
            yield line, found.group(1) or found.group(2), text[found.start() :]


@cache
def other_options() -> frozenset[str]:
    """Options of launchers and benchmarks."""
    sources = ''.join(path.read_text() for path in (ROOT / 'benchmarks').glob('*.py'))
    return frozenset(LAUNCHER_OPTIONS | set(OPTION.findall(sources)))


def unknown_options(page: Page) -> list[str]:
    """Options that their tool lacks; those named alone, that no tool of the page has."""
    faults, known = [], set()
    for line, tool, text in commands(page):
        if tool.startswith('demo_'):
            continue
        if not options_of(tool):
            faults.append(f'{line}: no command {tool}')
            continue
        known |= options_of(tool)
        faults += [
            f'{line}: {tool} has no {option}'
            for option in OPTION.findall(text.partition('--wrap')[0])
            if option not in options_of(tool) | (LAUNCHER_OPTIONS if 'slurm' in tool else set())
        ]
    known = known or set().union(*map(options_of, COMMANDS))
    known |= other_options()
    named = [(line, option) for line, span in page.spans for option in OPTION.findall(span)]
    return faults + [f'{line}: no tool has {name}' for line, name in named if name not in known]


def unfitting_settings(page: Page) -> list[str]:
    """Fields after ``--cfg-options`` that the config of the same command lacks."""
    from mmengine.config import Config

    faults = []
    for line, _, text in commands(page):
        before, given, after = text.partition('--cfg-options')
        path = next(
            (word for word in before.split() if word.endswith('.py') and word[0] == 'c'), ''
        )
        if given and (ROOT / path).is_file() and 'configs/' in path:
            settings = [word for word in shlex.split(after) if '=' in word]
            try:
                apply_options(Config.fromfile(ROOT / path), dict(map(split_option, settings)))
            except Exception as error:
                faults.append(f'{line}: {error}')
    return faults


@cache
def words_of_sources() -> frozenset[str]:
    """Identifiers of all Python code of the repository, and of Python."""
    words = {*keyword.kwlist, *dir(builtins)}
    for folder in ('internvideo', 'configs', 'tools', 'projects', 'benchmarks', 'tests'):
        for path in (ROOT / folder).rglob('*'):
            if path.suffix in ('.py', '.sh', '.sbatch') and path != Path(__file__):
                words |= set(re.findall(r'[A-Za-z_]\w*', path.read_text(encoding='utf-8')))
    return frozenset(words)


def unknown_identifiers(page: Page) -> list[str]:
    """Classes, fields, models and options of fields in inline code that no source knows."""
    own = {
        word
        for block in page.blocks_in('python')
        for word in re.findall(r'[A-Za-z_]\w*', block.text)
    }
    known = words_of_sources() | own | set(list_models())
    faults = []
    for line, span in page.spans:
        code = re.sub(r"'[^']*'|\"[^\"]*\"", '', span)
        if re.search(r'[/$\s{*-]|\.\.\.|\.[a-z]{2,4}$', code):
            continue  # a command, a pattern or a file
        for word in re.findall(r'(?<!\w)[A-Za-z_]\w*', code):
            if (
                word not in known
                and not PLACEHOLDER.match(word.replace('_', ' '))
                and len(word) > 1
            ):
                faults.append(f'{line}: no source knows {word} (of `{span}`)')
    return faults


def registered() -> frozenset[str]:
    """Names in all registries, mmengine's included."""
    import mmengine.registry as engine

    from internvideo import registry

    names = set()
    for module in (registry, engine):
        for each in vars(module).values():
            if isinstance(each, engine.Registry):
                each.import_from_location()
                names |= set(each.module_dict)
    return frozenset(names)


def unregistered_types(page: Page) -> list[str]:
    texts = [(block.line, block.text) for block in page.blocks_in('python')] + page.spans
    own = {name for block in page.blocks for name in re.findall(r'class (\w+)', block.text)}
    own |= {'SomeHead', 'CosineHead'}  # of a project
    return [
        f'{line}: nothing is registered as {name}'
        for line, text in texts
        for name in re.findall(r"\btype='(\w+)'", text)
        if name not in registered_names() and name not in own
    ]


registered_names = cache(registered)


def long_lines(page: Page) -> list[str]:
    return [
        f'{line}: {len(text)} characters'
        for line, text in page.prose
        if len(text) > LONGEST_LINE and 'http' not in text
    ]


def private_terms(page: Page) -> list[str]:
    """Words of prose for which the field has another one."""
    return [
        f'{line}: {fault}'
        for line, text in page.written
        for word in re.findall(r'[a-z]+', re.sub(r'`[^`]*`|\]\([^)]*\)', '', text).lower())
        if word not in PLAIN
        for fault in terms_in(re.sub('truths?', '', word) if 'ground' in text.lower() else word)
    ]


def poor_openings(page: Page) -> list[str]:
    """A page has a title, then says in a line for whom it is and what it holds."""
    lines = [text for _, text in page.written if text.strip()]
    faults = []
    if not lines or not lines[0].startswith('# '):
        faults.append('1: no title')
    if len(lines) < 2 or re.match(r'[#|-]', lines[1]):
        faults.append('2: no sentence that says for whom and what')
    return faults


def without_example(page: Page) -> list[str]:
    return [] if page.blocks else ['1: no fenced example']


CHECKS = [
    missing_paths,
    missing_models,
    missing_names,
    broken_links,
    unknown_options,
    unfitting_settings,
    unknown_identifiers,
    unregistered_types,
    long_lines,
    private_terms,
    poor_openings,
    without_example,
]


@pytest.mark.parametrize('check', CHECKS, ids=lambda check: check.__name__)
def test_pages_pass(check):
    faults = [f'{path.relative_to(ROOT)}:{fault}' for path in PAGES for fault in check(read(path))]
    assert not faults, '\n'.join(faults)


@pytest.mark.parametrize(
    ('check', 'text', 'fault'),
    [
        (
            missing_paths,
            'See `internvideo/apis/rehearsal.py`.',
            'no path internvideo/apis/rehearsal',
        ),
        (missing_paths, '`configs/internvideo2/{S14,Z99}_k400.py`', 'Z99_k400.py'),
        (missing_models, '`internvideo2/retrieval/1B_msrvtt`', 'no config'),
        (missing_names, '`internvideo.apis.rehearse`', 'no internvideo.apis.rehearse'),
        (missing_names, '```python\nfrom internvideo.hub import Zoo\n```', 'internvideo.hub.Zoo'),
        (broken_links, '[a page](nowhere.md)', 'nowhere.md'),
        (broken_links, '# Title\n[a section](#elsewhere)', '#elsewhere'),
        (unknown_options, '```bash\npython tools/train.py CONFIG --restore\n```', '--restore'),
        (unknown_options, '```bash\ninternvideo frain CONFIG\n```', 'no command frain'),
        (unknown_options, 'The option `--restore` goes on.', '--restore'),
        (
            unfitting_settings,
            '`tools/test.py configs/internvideo2/S14_k400.py --cfg-options test_cfg.k_tset=1`',
            'k_tset',
        ),
        (unknown_identifiers, '`FancyEncoder`', 'FancyEncoder'),
        (unknown_identifiers, '`test_cfg.k_tset=0`', 'k_tset'),
        (unregistered_types, "```python\ndict(type='FancyEncoder')\n```", 'FancyEncoder'),
        (long_lines, 'word ' * 25, '125 characters'),
        (private_terms, 'A model that hears.', 'say audio'),
        (poor_openings, '# Title\n\n## Section', 'for whom'),
        (without_example, '# Title', 'no fenced example'),
    ],
)
def test_faults_are_found(check, text, fault):
    (found,) = check(parse(ROOT / 'README.md', text))
    assert fault in found


def read_module(path: Path) -> Page:
    """Read the docstrings and comments of a module as prose."""
    source = path.read_text(encoding='utf-8')
    page = Page(path, [], [], [])
    for number, line in enumerate(source.splitlines(), start=1):
        if line.lstrip().startswith('# '):
            page.prose.append((number, line))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                first = node.body[0].lineno
                page.prose.extend(enumerate(docstring.splitlines(), start=first))
    return page


@pytest.mark.parametrize('folder', ['internvideo', 'configs', 'tools', 'projects', 'benchmarks'])
def test_docstrings_and_comments_name_what_exists(folder):
    faults = []
    for path in sorted((ROOT / folder).rglob('*.py')):
        page = read_module(path)
        for check in (missing_paths, missing_models, missing_names, unknown_options):
            faults += [f'{path.relative_to(ROOT)}:{fault}' for fault in check(page)]
    assert not faults, '\n'.join(faults)


def test_the_readme_lists_every_page():
    targets = {
        target.partition('#')[0]
        for target in re.findall(r'\]\(([^)]+)\)', (ROOT / 'README.md').read_text())
    }
    assert {f'docs/{path.name}' for path in (ROOT / 'docs').glob('*.md')} <= targets
    assert 'CONTRIBUTING.md' in targets
