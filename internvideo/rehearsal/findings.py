"""Messages of errors on one line."""


def one_line(error: BaseException) -> str:
    """The message of ``error`` on one line, without what a registry puts before it."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = ' '.join(text.split()) or type(error).__name__
    return text if len(text) <= 400 else f'{text[:400]}...'
