"""Config files by the names that the model zoo gives them."""

from pathlib import Path

from internvideo.engine.command_line import UsageError


def named_config(text: str) -> str:
    """Return the path of a config that is a file, or a name such as ``internvideo2/S14_k400``.

    Installed, ``configs/...`` is also found inside the package.

    Raises:
        UsageError: there is no such file or name, or the name stands for a variant of a config.
    """
    if Path(text).is_file():
        return text
    from internvideo.hub.model_zoo import find_entry

    try:
        entry = find_entry(text)
    except (KeyError, FileNotFoundError) as error:
        hint = str(error.args[0]).rpartition('; ')[2]
        raise UsageError(f'config file {text} does not exist; {hint}') from None
    if entry.overrides:
        raise UsageError(
            f'{text} is {entry.config} with other fields of its model: give that file, and '
            f'--cfg-options model...={dict(entry.overrides)}'
        )
    return str(entry.config)
