"""The beginning of a file's audio, decoded where a decoder may die of it."""

from internvideo.datasets.media.errors import MediaError, decoder_reason
from internvideo.datasets.media.libraries import import_av, open_container


def decode_first_audio(path: str) -> bool:
    """Whether there is an audio track that begins with something decodable.

    Raises:
        MediaError: it cannot be decoded.
    """
    av = import_av()
    try:
        with open_container(path) as container:
            if not container.streams.audio:
                return False
            return next(container.decode(audio=0), None) is not None
    except MediaError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(path, decoder_reason(error, 'sound decoding failed')) from None
