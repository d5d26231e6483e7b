"""Parts of a model that do not learn."""

from collections.abc import Iterable

from torch import nn


def freeze_parts(
    model: nn.Module,
    parts: Iterable[str],
    open_names: Iterable[str] = (),
    published: str | None = None,
) -> list[nn.Module]:
    """Stop the gradient of the children ``parts`` but for names that contain an open string.

    ``published`` is what names begin with in published files where that is not the part itself.
    Returns the modules that stay in evaluation mode: those below the parts that hold nothing
    trainable.

    Raises ValueError for a part that the model does not have.
    """
    open_names = tuple(open_names)
    closed: list[nn.Module] = []
    for part in parts:
        child = getattr(model, part, None)
        if not isinstance(child, nn.Module):
            raise ValueError(f'{type(model).__name__} has no part {part!r} to freeze')
        for name, parameter in child.named_parameters(prefix=published or part):
            parameter.requires_grad_(any(word in name for word in open_names))
        closed += _closed_modules(child)
    return closed


def _closed_modules(module: nn.Module) -> list[nn.Module]:
    """``module`` if nothing below it learns, else those of its children (recursively)."""
    if not any(p.requires_grad for p in module.parameters()):
        return [module]
    return [found for child in module.children() for found in _closed_modules(child)]
