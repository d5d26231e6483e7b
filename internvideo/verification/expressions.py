"""Losses that a case writes as a formula, such as ``mean(feature**2)``."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from .facts import CaseError

OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
FUNCTIONS: dict[str, Callable] = dict(
    mean=Tensor.mean, sum=Tensor.sum, abs=Tensor.abs, square=Tensor.square
)


def evaluate(formula: str, arrays: Mapping[str, Tensor]) -> Tensor:
    """Return the value of ``formula`` over named arrays.

    It may use numbers, ``+ - * / **``, and mean, sum, abs and square; ``mean(x, last axis)``
    reduces one axis, ``batch`` is the length of the first array that the formula names.

    Raises:
        CaseError: anything else, or a name that ``arrays`` lacks.
    """
    try:
        # Parsed and never passed to eval(): cases may come from anywhere.
        tree = ast.parse(formula.replace('last axis', '-1'), mode='eval')
    except SyntaxError as error:
        raise CaseError(f'loss {formula!r} is no formula') from error
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = [name for name in names if name in arrays]
    known = dict(arrays) | ({'batch': len(arrays[used[0]])} if used else {})
    return _value(tree.body, known, formula)


def _value(node: ast.expr, known: Mapping[str, Any], formula: str) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Name) and node.id in known:
        return known[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, known, formula)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        sides = (_value(side, known, formula) for side in (node.left, node.right))
        return OPERATORS[type(node.op)](*sides)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function = FUNCTIONS.get(node.func.id)
        if function is not None:
            return function(*(_value(argument, known, formula) for argument in node.args))
    raise CaseError(f'loss {formula!r}: {ast.unparse(node)!r} is not known')
