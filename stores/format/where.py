"""The expression of `--where`, such as `subject in ("S1", "S5") and fps >= 25`: text to an Arrow expression, no eval.

It is written as Python is. Allowed are the columns of the table of sequences, texts, numbers, `and or not`,
comparisons, `in`, `+ - * /`, and `startswith`, `endswith` of a column. Nothing else: the text is only parsed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InvalidValueError
from .sequences import ARROW_SCHEMA

LONGEST = 10_000
EXAMPLE = 'subject in ("S1", "S5") and fps >= 25'

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a.cast(pa.float64()) / b,  # Arrow would drop the remainder of two integers
}
_METHODS: dict[str, Callable[..., Any]] = {
    "startswith": lambda column, text: pc.starts_with(column, pattern=text),  # type: ignore[attr-defined]
    "endswith": lambda column, text: pc.ends_with(column, pattern=text),  # type: ignore[attr-defined]
}


def parse_where(text: str) -> pc.Expression:
    """The Arrow expression over a table of sequences that the text says.

    Raises InvalidValueError, with the columns there are, for what is no such expression.
    """
    if len(text) > LONGEST:
        raise InvalidValueError(f"the expression has {len(text)} characters; at most {LONGEST} are read")
    try:
        found = _condition(ast.parse(text.strip(), mode="eval").body)
        # An empty table has the types: what cannot be compared is found here, not in the middle of a job.
        pa.Table.from_pylist([], schema=ARROW_SCHEMA).filter(found)
    except InvalidValueError as error:
        raise InvalidValueError(f"cannot read the expression '{_shown(text)}': {error}") from error
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError, pa.ArrowException) as error:
        why = getattr(error, "msg", None) or (str(error).splitlines() or ["it is nested too deeply"])[0]
        raise InvalidValueError(
            f"cannot read the expression '{_shown(text)}': {why}; write it as in: {EXAMPLE}"
        ) from error
    return found


def _condition(node: ast.expr) -> pc.Expression:
    """What is true or false of a sequence."""
    match node:
        case ast.BoolOp(op=op, values=values):
            parts = [_condition(value) for value in values]
            joined = parts[0]
            for part in parts[1:]:
                joined = joined & part if isinstance(op, ast.And) else joined | part
            return joined
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ~_condition(operand)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            return _comparison(left, ops, comparators)
        case ast.Call(func=ast.Attribute(value=ast.Name() as column, attr=name), args=[ast.Constant(value=str(text))]):
            if name in _METHODS and not node.keywords:
                return _METHODS[name](_value(column), text)
    raise InvalidValueError(f"'{_shown(ast.unparse(node))}' is no condition; compare a column with something")


def _comparison(left: ast.expr, ops: list[ast.cmpop], comparators: list[ast.expr]) -> pc.Expression:
    found = None
    for op, right in zip(ops, comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            part = _contained(left, right)
            part = ~part if isinstance(op, ast.NotIn) else part
        elif type(op) in _COMPARISONS:
            if not _names([left, right]):
                raise InvalidValueError(f"'{_shown(ast.unparse(left))}' is compared with no column; {_columns()}")
            part = _COMPARISONS[type(op)](_value(left), _value(right))
        else:
            raise InvalidValueError(f"'{_shown(ast.unparse(right))}' is compared by `is`; write == or !=")
        found = part if found is None else found & part
        left = right
    assert found is not None
    return found


def _contained(left: ast.expr, right: ast.expr) -> pc.Expression:
    """`subject in ("S1", "S5")`, or `"walk" in action`."""
    if isinstance(right, ast.Tuple | ast.List | ast.Set):
        values = [_constant(each) for each in right.elts]
        if not values or not _names([left]):
            raise InvalidValueError('`in` takes a column and at least one value, as in: subject in ("S1", "S5")')
        return _value(left).isin(pa.array(values))
    if isinstance(left, ast.Constant) and isinstance(left.value, str) and isinstance(right, ast.Name):
        return pc.match_substring(_value(right), pattern=left.value)  # type: ignore[attr-defined]
    raise InvalidValueError('`in` takes a list of values, as in: subject in ("S1", "S5"), or a text in a column')


def _value(node: ast.expr) -> Any:
    """A column, a constant, or what is computed from them."""
    match node:
        case ast.Name(id=name):
            if name not in ARROW_SCHEMA.names:
                raise InvalidValueError(f"there is no column '{name}' (texts stand in quotes); {_columns()}")
            return pc.field(name)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](_value(left), _value(right))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Name() as column):
            return pc.scalar(0) - _value(column)
    return pc.scalar(_constant(node))


def _constant(node: ast.expr) -> str | int | float:
    match node:
        case ast.Constant(value=bool() | str() | int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise InvalidValueError(f"'{_shown(ast.unparse(node))}' is neither a column nor a text nor a number; {_columns()}")


def _names(nodes: Iterable[ast.expr]) -> set[str]:
    return {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}


def _columns() -> str:
    return f"columns: {', '.join(ARROW_SCHEMA.names)}"


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "..."
