"""A config whose text is formatted once."""

from mmengine.config import Config


class RunConfig(Config):
    """Config of a run, which formats its text anew only after a change.

    mmengine asks for the text six times while a run starts, and formatting takes a second.
    """

    @classmethod
    def of(cls, config: Config) -> 'RunConfig':
        """``config`` itself if it is of a class of its own, else its contents."""
        if type(config) is not Config:
            return config
        made = cls.__new__(cls)
        made.__dict__.update(vars(config))
        return made

    @property
    def pretty_text(self) -> str:
        """The config as Python code."""
        contents = repr(self._cfg_dict)
        known: tuple[str, str] | None = vars(self).get('_formatted')
        if known is None or known[0] != contents:
            known = contents, super().pretty_text
            vars(self)['_formatted'] = known
        return known[1]
