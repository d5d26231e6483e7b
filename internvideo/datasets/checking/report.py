"""Report of a check on disk, so that a stopped check goes on where it was."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from internvideo.fileio.atomic import atomic_write

from .file_facts import FileFacts
from .lists import AnyList, Chunk, Problem, identity_of


class Report:
    """Problems as JSON lines, and beside them, until the check is complete, what is done.

    Args:
        path: the report.
        lists: what is checked; a check is only continued when nothing of it has changed.
        restart: forget an unfinished check.

    Raises:
        ValueError: an unfinished check of something else is in the way.
    """

    def __init__(self, path: Path, lists: list[AnyList], restart: bool) -> None:
        self.path, self.progress = path, path.with_name(f'{path.name}.progress')
        self.facts = path.with_name(f'{path.name}.files')
        self.done: set[Chunk] = set()
        self.problems: dict[Problem, None] = {}
        self.files: dict[str, FileFacts] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        identity = json.dumps([identity_of(media) for media in lists])
        if self.progress.is_file() and not restart:
            self._resume(identity)
        else:
            path.write_text('')
            self.facts.write_text('')
            self.progress.write_text(identity + '\n')

    def _resume(self, identity: str) -> None:
        found, *chunks = self.progress.read_text().split('\n')
        if found != identity:
            raise ValueError(
                f'{self.progress} belongs to an unfinished check of other lists or settings; '
                'give another --report, or --restart'
            )
        # The last lines may be cut off where the earlier check was stopped.
        self.done = {Chunk(*json.loads(line)) for line in chunks if line.endswith(']')}
        records = _whole_lines(self.path)
        self.problems = dict.fromkeys(Problem(**json.loads(line)) for line in records)
        known = [FileFacts(**json.loads(line)) for line in _whole_lines(self.facts)]
        self.files = {facts.path: facts for facts in known}
        atomic_write(self.path, ''.join(f'{line}\n' for line in records))
        atomic_write(self.facts, ''.join(map(_facts_line, known)))
        atomic_write(self.progress, '\n'.join([found, *map(json.dumps, self.done), '']))

    def add(
        self,
        problems: Iterable[Problem],
        chunk: Chunk | None = None,
        files: Mapping[str, FileFacts] | None = None,
    ) -> None:
        """Record what was found, and that a chunk is done."""
        # Problems first, then the chunk: killed in between, the chunk is checked again and what it
        # finds is known already.
        with self.path.open('a') as file:
            for problem in problems:
                if problem not in self.problems:
                    self.problems[problem] = None
                    file.write(json.dumps(problem._asdict(), ensure_ascii=False) + '\n')
        with self.facts.open('a') as file:
            for path, facts in (files or {}).items():
                # Of a file in several chunks, the first with a problem counts.
                known = self.files.get(path)
                if known is None or (known.problem is None and facts.problem is not None):
                    self.files[path] = facts
                    file.write(_facts_line(facts))
        if chunk is not None:
            with self.progress.open('a') as file:
                file.write(json.dumps(chunk) + '\n')

    def complete(self) -> None:
        """Sort the report, so that the next check starts anew."""
        ordered = sorted(self.problems, key=_place)
        records = [json.dumps(problem._asdict(), ensure_ascii=False) for problem in ordered]
        atomic_write(self.path, ''.join(f'{record}\n' for record in records))
        # Last: as long as this file is there, the check counts as unfinished.
        self.progress.unlink()
        self.facts.unlink(missing_ok=True)


def _whole_lines(file: Path) -> list[str]:
    """Records of a file whose last line may be cut off."""
    lines = file.read_text().split('\n') if file.is_file() else []
    return [line for line in lines if line.endswith('}')]


def _facts_line(facts: FileFacts) -> str:
    return json.dumps(facts.to_dict(), ensure_ascii=False) + '\n'


def _place(problem: Problem) -> tuple[str, int]:
    """List and line of a problem, or the file."""
    name, _, line = problem.where.rpartition(':')
    return (name, int(line)) if line.isdecimal() else (problem.where, 0)
