"""Suffixes of video and audio files, as FFmpeg and cameras give them."""

from collections.abc import Iterable

VIDEO_SUFFIXES = frozenset(
    f'.{suffix}'
    for suffix in (
        *('mp4', 'm4v', 'mov', 'qt', '3gp', '3gpp', '3g2', 'f4v', 'ism', 'ismv', 'isma', 'mj2'),
        *('psp', 'swf', 'bik', 'smk', 'roq', 'imx', 'mvi', 'kux', 'xmv', 'usm', 'pva'),
        *('mkv', 'mk3d', 'webm', 'avi', 'divx', 'xvid', 'flv', 'gif', 'nut', 'ogv', 'ogm'),
        *('mpg', 'mpeg', 'mpe', 'm1v', 'm2v', 'mpv', 'vob', 'evo', 'mod', 'tod', 'wtv', 'ty'),
        *('ts', 'mts', 'm2ts', 'm2t', 'tp', 'trp', 'wmv', 'asf', 'dvr-ms', 'rm', 'rmvb'),
        *('mxf', 'gxf', 'dv', 'dif', 'dav', 'lrv', 'insv', 'amv', 'nsv', 'viv', 'mjpeg', 'mjpg'),
        *('h261', 'h263', 'h264', '264', 'h26l', 'avc', 'h265', '265', 'hevc', 'h266', '266'),
        *('vvc', 'av1', 'obu', 'ivf', 'vc1', 'drc', 'cavs', 'avs2', 'avs3', 'y4m'),
    )
)
"""Suffixes of files that hold moving pictures, with or without sound."""

AUDIO_SUFFIXES = frozenset(
    f'.{suffix}'
    for suffix in (
        *('wav', 'w64', 'rf64', 'bwf', 'aif', 'aiff', 'aifc', 'au', 'snd', 'caf', 'voc'),
        *('flac', 'ape', 'wv', 'tta', 'tak', 'mp3', 'mp2', 'm2a', 'mpa', 'mpc', 'aac', 'adts'),
        *('m4a', 'm4b', 'm4r', 'mka', 'weba', 'ogg', 'oga', 'opus', 'spx', 'wma', 'ra'),
        *('qoa', 'dsf', 'dff', 'shn', 'oma', 'aa3', 'vqf', '3ga', 'm4p', 'mp1'),
        *('ac3', 'ac4', 'eac3', 'ec3', 'dts', 'dtshd', 'thd', 'mlp', 'amr', 'awb', 'gsm'),
    )
)
"""Suffixes of files that hold sound alone."""


def count_suffixes(names: Iterable[str]) -> str:
    """The suffixes of file names with how many have each, most frequent first, as text."""
    counts: dict[str, int] = {}
    for name in names:
        stem, dot, suffix = name.rpartition('.')
        kind = f'.{suffix.lower()}' if dot and stem else 'no suffix'
        counts[kind] = counts.get(kind, 0) + 1
    ordered = sorted(counts, key=lambda kind: (-counts[kind], kind))
    return ', '.join(f'{kind} ({counts[kind]})' for kind in ordered)
