"""Table of awkward media files, with what a right reader shows of each.

:data:`KINDS` holds them by file name; :func:`write_kinds` writes them.  All are made by PyAV,
without the command ffmpeg.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from .byte_editing import (
    add_parity,
    begin_at_second_keyframe,
    cut,
    cut_after_header,
    drop_packets,
    patch,
    put_around,
    repeat_fields,
    set_avi_count,
    set_edits,
    set_flv_duration,
    set_matrix,
    set_matroska_duration,
    set_mp4_duration,
    spoil,
)
from .media_kinds import (
    COUNT,
    EITHER,
    EXACT,
    REFUSED,
    Kind,
    changed,
    encoded,
    joined,
    remuxed,
    renamed,
    seconds,
    together,
)
from .media_writing import write_audio, write_song
from .numbered_frames import ORIENTATIONS
from .packet_editing import (
    add_not_coded,
    flagged_as_keys,
    pack_b_pictures,
    shifted,
    write_attached_cover,
    write_data,
    write_subtitles,
    write_two_sizes,
)

SCREEN_TICKS = (0, 40, 80, 1080, 1100, 1120, 3120, 3140, 3600, 3640, 7000, 7040, 7080, 7100, 8100)
"""Milliseconds of a screen recording, whose pictures come when something moves."""

PIXELS = {'mjpeg': 'yuvj420p', 'prores_ks': 'yuv422p10le'}
SETTINGS = dict(
    svq1=dict(pix_fmt='yuv410p'),
    qtrle=dict(pix_fmt='rgb24'),
    h263=dict(size=(128, 96), sample_aspect=Fraction(12, 11)),
    msmpeg4=dict(size=(128, 96), bit_rate=20_000_000),
)
"""Settings without which these encoders refuse, or spoil the numbers."""


def common() -> Iterator[Kind]:
    """Files as most cameras, sites and programs write them."""
    yield encoded('h264.mp4', b_frames=2, options=dict(bf='2'), audio='aac')
    yield encoded('silent.mp4')
    yield encoded('moov_first.mp4', muxer=dict(movflags='faststart'), options=dict(bf='2'))
    yield encoded('one_keyframe.mp4', gop=1000, options=dict(bf='2'))
    yield encoded('rate_240.mp4', time_base=Fraction(1, 240))
    yield encoded('rate_1.mp4', range(12), time_base=Fraction(1))
    yield encoded('rate_ntsc.mov', time_base=Fraction(1001, 30000))
    yield encoded('minutes.mp4', range(12), ticks=range(0, 720, 60), time_base=Fraction(1))
    yield encoded('one_frame.mp4', range(1))
    yield encoded('two_frames.mp4', range(2))
    yield encoded('one_frame.webm', range(1), codec='libvpx')
    yield encoded('one_frame.mkv', range(1), codec='ffv1')
    yield encoded('sample_aspect.mp4', sample_aspect=Fraction(64, 45))
    yield encoded('sample_aspect.ts', sample_aspect=Fraction(8, 9))
    yield encoded('sample_aspect.mpg', codec='mpeg2video', sample_aspect=Fraction(4, 3))
    yield encoded('audio_first.mp4', audio='aac', audio_first=True)
    yield encoded('audio_longer.mp4', audio='aac', audio_seconds=4)
    yield encoded('audio_late.mp4', audio='aac', audio_start=1, audio_seconds=1)
    yield encoded('audio.mkv', audio='libopus', codec='libvpx-vp9')


def orientations() -> Iterator[Kind]:
    """Display matrices: quarter turns with and without a mirror, an odd angle, other carriers."""
    for number, (orientation, (turn, mirrored)) in enumerate(ORIENTATIONS.items()):
        cos, sin = round(math.cos(math.radians(turn))), round(math.sin(math.radians(turn)))
        flip = -1 if mirrored else 1
        matrix = (flip * cos, flip * sin, -sin, cos)
        plain = encoded(f'matrix_{number}.mp4', options=dict(bf='2'))
        yield changed(plain, partial(set_matrix, matrix=matrix), orientation=orientation)
    odd = (math.cos(math.radians(10)), math.sin(math.radians(10)))
    tilted = encoded('matrix_odd_angle.mp4')
    yield changed(tilted, partial(set_matrix, matrix=(*odd, -odd[1], odd[0])))
    plain = encoded('source.ts', options=dict(bf='2'))
    for suffix in ('ts', 'mkv', 'mp4'):
        message = 'h264_metadata=display_orientation=insert:rotate=270'
        turned = remuxed(plain, f'turned_by_message.{suffix}', filter=message)
        yield replace(turned, orientation='90', outcome=EITHER)
    plain = encoded('source.mkv', options=dict(bf='2'), turn=180, mirrored=True)
    yield replace(renamed(plain, 'mirrored.mkv'), orientation='180 mirrored')
    for name in ('turned.mkv', 'turned_hevc.mov'):
        codec = 'libx265' if 'hevc' in name else 'libx264'
        yield replace(encoded(name, codec=codec, turn=-90), orientation='90')


def edit_lists() -> Iterator[Kind]:
    """Edit lists in mp4: cut without encoding anew, joined, delayed."""

    def edited(
        name: str, edits: Sequence[tuple[float, float | None]], shown: Sequence[int], times=None
    ):
        # 0.08 s: the delay of two B-frames, which the track's own clock begins with.
        source = encoded(name, options=dict(bf='2'), audio='aac')
        change = partial(set_edits, edits=[(s, at if at is None else at + 0.08) for s, at in edits])
        times = times or seconds(range(len(shown)))
        return changed(source, change, numbers=tuple(shown), times=times)

    yield edited('edit_begins_later.mp4', [(0.92, 0.68)], range(17, 40))
    yield edited('edit_ends_earlier.mp4', [(0.92, 0)], range(23))
    yield edited('edit_of_the_middle.mp4', [(0.6, 0.52)], range(13, 28))
    yield edited('edit_empty.mp4', [(0.6, None), (1.6, 0)], range(40), seconds(range(15, 55)))
    yield edited('edit_longer_than_media.mp4', [(9.0, 0)], range(40))
    joined_parts = [*range(5), *range(30, 36)]
    yield edited('edit_of_two_parts.mp4', [(0.2, 0), (0.24, 1.2)], joined_parts)
    # FFmpeg fills the pause with pictures that the list hides: nothing built on it can be right.
    pause = edited('edit_pauses.mp4', [(0.2, 0), (1, None), (0.24, 1.2)], joined_parts)
    yield replace(pause, outcome=REFUSED)
    yield edited('edit_plays_twice.mp4', [(0.4, 0), (0.4, 0)], [*range(10), *range(10)])
    source = encoded('source.mp4', options=dict(bf='2'))
    no_edits = dict(use_editlist='0')
    yield remuxed(source, 'no_edit_list.mp4', muxer=no_edits)
    yield remuxed(source, 'negative_offsets.mp4', muxer=dict(movflags='negative_cts_offsets'))


def variable_rates() -> Iterator[Kind]:
    """Pictures that come at uneven times."""
    screen = dict(numbers=range(len(SCREEN_TICKS)), ticks=SCREEN_TICKS, time_base=Fraction(1, 1000))
    for name, codec in (
        *(('uneven.mp4', 'libx264'), ('uneven.mkv', 'libx264'), ('uneven.webm', 'libvpx-vp9')),
        *(('uneven.mov', 'prores_ks'), ('uneven.flv', 'flv'), ('uneven.ts', 'libx264')),
        *(('uneven.nut', 'ffv1'),),
    ):
        pix_fmt = 'yuv422p10le' if codec == 'prores_ks' else 'yuv420p'
        yield encoded(name, codec=codec, pix_fmt=pix_fmt, **screen)
    hundredths = [tick // 10 for tick in SCREEN_TICKS]
    for name, codec, pix_fmt in (('uneven.gif', 'gif', 'rgb8'), ('uneven.apng', 'apng', 'rgb24')):
        uneven = screen | dict(ticks=hundredths, time_base=Fraction(1, 100))
        yield encoded(name, codec=codec, pix_fmt=pix_fmt, **uneven)
    dropped = [tick + tick // 3 for tick in range(30)]
    yield encoded('empty_packets.avi', range(30), codec='mpeg4', ticks=dropped)
    twice = [0, 1, 2, 2, 3, 4, 4, 4, 5, 6]
    source = encoded('source.mkv', range(10), codec='ffv1')

    def set_times(packets):
        for packet, tick in zip(packets, twice, strict=True):
            packet.pts = packet.dts = tick * 40
            yield packet

    yield replace(remuxed(source, 'same_times.mkv', set_times), times=seconds(twice))


def transport_streams() -> Iterator[Kind]:
    """MPEG transport and program streams as recorded off the air or from discs."""
    tv = dict(codec='mpeg2video', b_frames=2)
    for name, muxer in (
        *(('tv.ts', {}), ('tv.m2ts', dict(mpegts_m2ts_mode='1')), ('disc.mpg', {})),
        *(('disc.vob', {}), ('avc.ts', {})),
    ):
        own = dict(options=dict(bf='2')) if name == 'avc.ts' else tv
        plain = encoded(name, muxer=muxer, audio='mp2', audio_start=0.1, **own)
        yield plain
        yield remuxed(plain, f'late_{name}', shifted(90000 * 40000), muxer=muxer)
    once = encoded('one_keyframe.ts', gop=1000, options=dict(bf='2'))
    yield once
    yield changed(renamed(once, 'junk_ahead.ts'), partial(put_around, before=b'recorded' * 60))
    yield changed(renamed(once, 'with_parity.ts'), add_parity)
    telecine = encoded('telecine.mpg', codec='mpeg2video', options=dict(flags='+ildct'))
    yield replace(changed(telecine, repeat_fields), times=None)
    yield remuxed(encoded('tv.ts', **tv), 'clock_wraps.ts', shifted(2**33 - 45000 - 126000))
    tail = encoded('tail.ts', range(100, 140), **tv)
    parts = [encoded('part.ts', **tv), tail]
    yield joined('clock_restarts.ts', parts)
    forward = [parts[0], remuxed(tail, 'part2.ts', shifted(90000 * 900))]
    yield joined('clock_jumps_forward.ts', forward)
    back = [remuxed(parts[0], 'part2.ts', shifted(90000 * 900)), tail]
    yield joined('clock_jumps_back.ts', back)
    avc = dict(options=dict(bf='2'))
    yield joined(
        'avc_restarts.ts', [encoded('a.ts', **avc), encoded('b.ts', range(100, 140), **avc)]
    )
    for name, own in (('begins_inside.ts', tv), ('avc_begins_inside.ts', avc)):
        whole = encoded(name, gop=15, **own)
        inside = changed(whole, partial(drop_packets, count=8))
        yield replace(inside, numbers=tuple(range(15, COUNT)), times=None)
    yield encoded(
        'interlaced.ts', codec='mpeg2video', b_frames=2, options=dict(flags='+ildct+ilme')
    )
    yield encoded('interlaced_avc.ts', options=dict(bf='2', tff='1', preset='veryfast'))
    yield encoded('interlaced_avc.mp4', options=dict(bf='2', bff='1', preset='veryfast'))


def open_groups() -> Iterator[Kind]:
    """Pictures that depend on others across a keyframe, hidden pictures, intra refresh."""
    pyramid = {'x264-params': 'open-gop=1:b-pyramid=normal', 'bf': '4', 'preset': 'veryfast'}
    for suffix in ('mp4', 'mkv', 'ts'):
        yield encoded(f'open_avc.{suffix}', options=pyramid)
        yield encoded(
            f'open_hevc.{suffix}',
            codec='libx265',
            pix_fmt='yuv420p10le',
            options={'x265-params': 'open-gop=1:bframes=3:keyint=10:min-keyint=10'},
        )
    yield encoded('open_mpeg2.mpg', codec='mpeg2video', b_frames=2)
    yield encoded('open_mpeg2.mkv', codec='mpeg2video', b_frames=2)
    refresh = {'x264-params': 'intra-refresh=1', 'preset': 'veryfast'}
    for suffix in ('mp4', 'ts', 'mkv'):
        yield encoded(f'intra_refresh.{suffix}', options=refresh)
    hidden = {'auto-alt-ref': '1', 'lag-in-frames': '16', 'cpu-used': '8', 'deadline': 'realtime'}
    yield encoded(
        'hidden_vp9.webm', codec='libvpx-vp9', gop=20, options=hidden | {'deadline': 'good'}
    )
    yield encoded('hidden_vp8.webm', codec='libvpx', gop=20, options=hidden | {'deadline': 'good'})
    params = 'open-gop=1:bframes=3:b-adapt=0:keyint=10:min-keyint=10:repeat-headers=1'
    for suffix, codecs in (
        ('mkv', ('mpeg4', 'libvpx', 'libvpx-vp9', 'libx264', 'mpeg2video')),
        ('mp4', ('mpeg4', 'libvpx-vp9', 'libx264', 'libx265', 'mpeg2video')),
        ('mov', ('svq1', 'qtrle', 'h263')),
        ('avi', ('mpeg4', 'wmv2', 'msmpeg4', 'flv', 'h263')),
    ):
        for codec in codecs:
            plain = encoded(f'source.{suffix}', codec=codec, **SETTINGS.get(codec, {}))
            yield remuxed(plain, f'key_flags_lie_{codec}.{suffix}', flagged_as_keys)
    cra = encoded('source.ts', codec='libx265', options={'x265-params': params})
    begins = changed(cra, begin_at_second_keyframe)
    yield renamed(begins, 'begins_open_hevc.ts', numbers=tuple(range(10, 40)), times=None)


def packed_pictures() -> Iterator[Kind]:
    """AVI as XviD and DivX wrote them: a B-picture rides in the packet of the one that it needs."""
    plain = encoded('source.avi', codec='mpeg4', b_frames=1)
    packed = remuxed(plain, 'packed.avi', pack_b_pictures)
    yield packed
    yield renamed(packed, 'packed.divx')
    yield remuxed(packed, 'packed.mkv')
    plain = encoded('source.mp4', codec='mpeg4')
    for suffix in ('mp4', 'avi', 'mkv'):
        times = seconds([tick + (tick > 6) + (tick > 21) for tick in range(COUNT)])
        yield replace(remuxed(plain, f'not_coded.{suffix}', add_not_coded), times=times)


def damaged() -> Iterator[Kind]:
    """Packets that cannot be decoded: a tenth of a video may be missing, the reader says where."""
    for count, outcome in ((4, EXACT), (8, REFUSED)):
        places = np.linspace(5, 55, count).astype(int).tolist()
        for name, settings in (
            ('bad_mjpeg.avi', dict(codec='mjpeg', pix_fmt='yuvj420p')),
            ('bad_mjpeg.mkv', dict(codec='mjpeg', pix_fmt='yuvj420p')),
            ('bad_prores.mov', dict(codec='prores_ks', pix_fmt='yuv422p10le')),
            ('bad_avc.mp4', dict(gop=1)),
            ('bad_avc.mkv', dict(gop=1)),
            ('bad_vp8.webm', dict(codec='libvpx', gop=1)),
        ):
            plain = encoded(f'{count}_{name}', range(60), **settings)
            yield changed(plain, partial(spoil, places=places), outcome=outcome, damaged=True)
    plain = encoded('bad_in_groups.mp4', range(60), options=dict(bf='2'))
    yield changed(plain, partial(spoil, places=[14, 35]), outcome=EITHER, damaged=True)
    for share in (5, 50, 97):
        for name, settings in (
            *(('avc.mp4', dict(muxer=dict(movflags='faststart'))), ('avc.mkv', {}), ('avc.ts', {})),
            *(('mpeg4.avi', dict(codec='mpeg4')), ('vp8.webm', dict(codec='libvpx'))),
            *(('disc.mpg', dict(codec='mpeg2video', b_frames=2)), ('avc.flv', {})),
            *(('wmv2.wmv', dict(codec='wmv2')),),
        ):
            plain = encoded(f'cut_at_{share}_{name}', range(60), audio='', **settings)
            yield changed(plain, partial(cut, share=share / 100), outcome=EITHER, damaged=True)
    plain = encoded('cut_before_its_index.mp4')
    yield changed(plain, partial(cut, share=0.5), outcome=REFUSED)


def no_videos() -> Iterator[Kind]:
    """Files without a video, whatever their names say."""

    def holding(name: str, content: bytes) -> Kind:
        return Kind(name, lambda path: path.write_bytes(content), (), outcome=REFUSED)

    yield holding('empty.mp4', b'')
    yield holding('text.mp4', b'A list of films, and no film itself.\n' * 40)
    yield holding('zeros.mp4', bytes(5000))
    # FFmpeg goes by the content: this is a video of one picture.
    picture = encoded('source.png', range(1), codec='png', pix_fmt='rgb24', format='image2')
    yield replace(renamed(picture, 'picture.mp4'), outcome=EITHER)
    yield Kind('folder.mp4', Path.mkdir, (), outcome=REFUSED)
    for name, codec in (
        ('only_audio.mp4', 'aac'),
        ('only_audio.mkv', 'libopus'),
        ('only_audio.mp3', 'libmp3lame'),
    ):
        yield Kind(name, partial(write_audio, codec=codec), (), outcome=REFUSED)
    header = encoded('only_header.mp4', muxer=dict(movflags='faststart'))
    yield changed(header, cut_after_header, outcome=REFUSED)
    yield Kind('cover_only.m4a', write_song, (), outcome=REFUSED)
    yield replace(encoded('animated.webp', codec='libwebp_anim'), outcome=EITHER)


def fragments_and_live() -> Iterator[Kind]:
    """Files written while they were recorded: fragments, no duration, no index, wrong counts."""
    for name, flags in (
        ('fragments.mp4', 'frag_keyframe+empty_moov'),
        ('dash.mp4', 'frag_keyframe+empty_moov+default_base_moof+global_sidx'),
        ('fragments.mov', 'frag_every_frame'),
    ):
        yield encoded(name, muxer=dict(movflags=flags), options=dict(bf='2'))
    yield encoded('live.mkv', muxer=dict(live='1'), options=dict(bf='2'))
    yield encoded('live.webm', codec='libvpx', muxer=dict(live='1'))
    for suffix, codec in (('avi', 'mpeg4'), ('avi', 'mjpeg')):
        for word, count in (('high', 4000), ('low', 7)):
            plain = encoded(
                f'count_{word}_{codec}.{suffix}', codec=codec, pix_fmt=PIXELS.get(codec, 'yuv420p')
            )
            yield changed(plain, partial(set_avi_count, count=count))
    plain = encoded('no_index.avi', codec='mpeg4')
    yield changed(plain, partial(patch, mark=b'idx1', offset=0, value=b'JUNK'))
    for word, seconds_ in (('high', 4000.0), ('low', 0.2)):
        for suffix, codec in (('mkv', 'libx264'), ('webm', 'libvpx')):
            plain = encoded(f'duration_{word}.{suffix}', codec=codec)
            yield changed(plain, partial(set_matroska_duration, value=seconds_))
        plain = encoded(f'duration_{word}.flv', codec='flv')
        yield changed(plain, partial(set_flv_duration, value=seconds_))
        plain = encoded(f'duration_{word}.mp4')
        yield changed(plain, partial(set_mp4_duration, value=seconds_))
    for name, settings in (
        *(('tail.mp4', {}), ('tail.mkv', {}), ('tail.ts', {}), ('tail.avi', dict(codec='mpeg4'))),
    ):
        yield changed(encoded(name, **settings), partial(put_around, after=bytes(3000)))
    for suffix in ('mkv', 'flv', 'mp4'):
        plain = encoded(f'source.{suffix}')
        hour = 3600 * (1000 if suffix != 'mp4' else 12800)
        yield remuxed(plain, f'late.{suffix}', shifted(hour))
    plain = encoded('count_high.ivf', codec='libvpx')
    yield changed(
        plain, partial(patch, mark=b'DKIF', offset=24, value=(4000).to_bytes(4, 'little'))
    )


def elementary_streams() -> Iterator[Kind]:
    """Bare streams of a codec, without times."""
    for name, settings in (
        ('bare.h264', dict(options=dict(bf='2'))),
        ('bare.hevc', dict(codec='libx265')),
        ('bare.m2v', dict(codec='mpeg2video', b_frames=2)),
        ('bare.m1v', dict(codec='mpeg1video', b_frames=2)),
        ('bare.m4v', dict(codec='mpeg4')),
        ('bare.mjpeg', dict(codec='mjpeg', pix_fmt='yuvj420p')),
        ('bare.ivf', dict(codec='libvpx')),
        ('bare.obu', dict(codec='libsvtav1', size=(64, 64))),
        ('bare.y4m', dict(codec='wrapped_avframe', format='yuv4mpegpipe')),
    ):
        yield encoded(name, **settings)


def several_streams() -> Iterator[Kind]:
    """Cover art, several videos, subtitles, data and time code."""
    yield encoded('time_code.mov', audio='aac', metadata=dict(timecode='01:00:00:00'))
    plain = encoded('plain.mp4', options=dict(bf='2'))
    cover = encoded(
        'cover.mjpeg', range(200, 201), codec='mjpeg', pix_fmt='yuvj420p', size=(320, 240)
    )
    other = encoded('other.mp4', range(100, 140), options=dict(bf='2'))
    for name, parts, facts in (
        ('cover.mp4', (plain, cover), ('default', 'attached_pic')),
        ('cover_first.mp4', (cover, plain), ('attached_pic', 'default')),
        ('second_is_default.mp4', (other, plain), ('dub', 'default')),
        ('second_is_default.mkv', (other, plain), ('dub', 'default')),
    ):
        yield together(name, parts, facts, plain)
    yield Kind('cover.mkv', write_attached_cover, times=seconds(range(COUNT)))
    yield Kind('subtitles_first.mkv', write_subtitles, times=seconds(range(COUNT)))
    chapters = [dict(id=1, start=0, end=600, time_base=Fraction(1, 1000), metadata={})]
    for suffix in ('mp4', 'mkv'):
        yield encoded(f'chapters.{suffix}', options=dict(bf='2'), chapters=chapters)
    yield Kind('data_first.ts', write_data, times=seconds(range(COUNT)))


def size_changes() -> Iterator[Kind]:
    """Pictures whose size changes within a file: read at one size, or refused."""
    for name, settings in (
        ('size_changes.ts', dict(options=dict(bf='2'))),
        ('size_changes.h264', dict(options=dict(bf='2'))),
        ('size_changes.mjpeg', dict(codec='mjpeg', pix_fmt='yuvj420p')),
    ):
        small = encoded('small' + Path(name).suffix, range(20), **settings)
        large = encoded('large' + Path(name).suffix, range(20, 40), size=(128, 96), **settings)
        yield joined(name, [small, large], outcome=EITHER)
    yield Kind('size_changes.webm', write_two_sizes, outcome=EITHER)


def formats() -> Iterator[Kind]:
    """Codecs and pixel formats, old and new, in the containers that people have them in."""
    for name, codec, settings in (
        ('h264_444.mp4', 'libx264', dict(pix_fmt='yuv444p', size=(63, 47))),
        ('h264_422_10.mp4', 'libx264', dict(pix_fmt='yuv422p10le')),
        ('h264_10.mkv', 'libx264', dict(pix_fmt='yuv420p10le')),
        ('h264_grey.mp4', 'libx264', dict(pix_fmt='gray')),
        ('h264_rgb.mp4', 'libx264rgb', dict(pix_fmt='rgb24')),
        ('h264_full.mp4', 'libx264', dict(pix_fmt='yuvj420p')),
        ('h264_b.avi', 'libx264', dict(options=dict(bf='2'))),
        ('h264.flv', 'libx264', dict(options=dict(bf='2'), audio='aac', audio_start=0.1)),
        ('h264.3gp', 'libx264', {}),
        ('h264.asf', 'libx264', dict(options=dict(bf='2'))),
        ('h264.mxf', 'libx264', dict(options=dict(bf='2'))),
        ('h264.mpg', 'libx264', dict(options=dict(bf='2'))),
        ('hevc.flv', 'libx265', {}),
        ('hevc.mpg', 'libx265', {}),
        ('hevc_12.mp4', 'libx265', dict(pix_fmt='yuv420p12le')),
        ('hevc_444.mkv', 'libx265', dict(pix_fmt='yuv444p')),
        ('vp8.webm', 'libvpx', dict(audio='libopus')),
        ('vp8_odd.webm', 'libvpx', dict(size=(63, 47))),
        ('vp8_alpha.webm', 'libvpx', dict(pix_fmt='yuva420p', options={'auto-alt-ref': '0'})),
        ('vp8.ogv', 'libvpx', {}),
        ('vp9_odd.webm', 'libvpx-vp9', dict(size=(63, 47))),
        ('vp9_alpha.webm', 'libvpx-vp9', dict(pix_fmt='yuva420p')),
        ('vp9_444.webm', 'libvpx-vp9', dict(pix_fmt='yuv444p')),
        ('vp9.mp4', 'libvpx-vp9', {}),
        ('av1.mp4', 'libsvtav1', dict(size=(64, 64))),
        (
            'av1_10.webm',
            'libsvtav1',
            dict(size=(64, 64), pix_fmt='yuv420p10le', bit_rate=0, options=dict(crf='10')),
        ),
        ('mpeg4.mp4', 'mpeg4', dict(b_frames=2)),
        ('mpeg4_b.avi', 'mpeg4', dict(b_frames=2)),
        ('mpeg4.avi', 'mpeg4', dict(audio='pcm_s16le')),
        ('divx3.avi', 'msmpeg4', dict(size=(128, 96), bit_rate=20_000_000)),
        ('mpeg1.mpg', 'mpeg1video', dict(b_frames=2)),
        ('wmv1.wmv', 'wmv1', {}),
        ('wmv2.wmv', 'wmv2', dict(audio='wmav2', audio_start=0.1)),
        ('long_groups.asf', 'wmv2', dict(gop=25)),
        ('flv1.flv', 'flv', {}),
        ('h263.3gp', 'h263', SETTINGS['h263']),
        ('h263.avi', 'h263', SETTINGS['h263']),
        ('mpeg2.asf', 'mpeg2video', dict(b_frames=2)),
        ('rv20.rm', 'rv20', dict(size=(128, 96))),
        ('mjpeg.avi', 'mjpeg', dict(pix_fmt='yuvj422p')),
        ('mjpeg.mov', 'mjpeg', dict(pix_fmt='yuvj444p')),
        ('jpeg2000.mov', 'jpeg2000', {}),
        ('prores.mov', 'prores_ks', dict(pix_fmt='yuv422p10le')),
        ('prores_alpha.mov', 'prores_ks', dict(pix_fmt='yuva444p10le')),
        ('png.mov', 'png', dict(pix_fmt='rgba')),
        ('qtrle.mov', 'qtrle', dict(pix_fmt='argb')),
        ('svq1.mov', 'svq1', dict(pix_fmt='yuv410p')),
        (
            'dnxhr.mov',
            'dnxhd',
            dict(pix_fmt='yuv422p', size=(256, 128), options=dict(profile='dnxhr_lb')),
        ),
        (
            'dnxhr.mxf',
            'dnxhd',
            dict(pix_fmt='yuv422p', size=(256, 128), options=dict(profile='dnxhr_lb')),
        ),
        ('mpeg2.mxf', 'mpeg2video', dict(b_frames=2)),
        ('cineform.mov', 'cfhd', dict(pix_fmt='yuv422p10le')),
        (
            'dv.avi',
            'dvvideo',
            dict(size=(720, 576), sample_aspect=Fraction(16, 15), numbers=range(5)),
        ),
        ('ffv1_grey16.mkv', 'ffv1', dict(pix_fmt='gray16le')),
        ('ffv1_rgb16.mkv', 'ffv1', dict(pix_fmt='gbrp16le')),
        ('huffyuv.avi', 'huffyuv', dict(pix_fmt='yuv422p')),
        ('utvideo.avi', 'utvideo', {}),
        ('magicyuv.avi', 'magicyuv', {}),
        ('zmbv.avi', 'zmbv', dict(pix_fmt='bgr0')),
        ('raw.avi', 'rawvideo', {}),
        ('raw_rgb.avi', 'rawvideo', dict(pix_fmt='bgr24')),
        ('cinepak.avi', 'cinepak', dict(pix_fmt='rgb24')),
        ('vc2.mkv', 'vc2', {}),
        ('even.gif', 'gif', dict(pix_fmt='rgb8')),
    ):
        settings = dict(settings)
        numbers = settings.pop('numbers', range(COUNT))
        yield encoded(name, numbers, codec=codec, **settings)


TABLES = (
    *(common, orientations, edit_lists, variable_rates, transport_streams, open_groups),
    *(packed_pictures, damaged, no_videos),
    *(fragments_and_live, elementary_streams, several_streams, size_changes, formats),
)

KINDS = {kind.name: kind for table in TABLES for kind in table()}


def write_kinds(folder: Path) -> None:
    """Write all kinds into a folder."""
    for name, kind in KINDS.items():
        kind.write(folder / name)
