"""Which faults are put into the code: Cosmic Ray's that say something here, and two of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators import (
    binary_operator_replacement,
    boolean_replacer,
    comparison_operator_replacement,
    exception_replacer,
    number_replacer,
    operator,
    zero_iteration_for_loop,
)

Position = tuple[tuple[int, int], tuple[int, int]]

_STATEMENTS = frozenset(
    {"atom_expr", "del_stmt", "expr_stmt", "raise_stmt", "return_stmt", "yield_expr"}
)
_ANNOTATED = frozenset({"annassign", "param", "tfpdef"})


class RemoveStatement(operator.Operator):  # type: ignore[misc]  # Cosmic Ray has no types
    """Puts `pass` in place of a call, an assignment, a `return`, a `raise` and the like.

    This is what a forgotten check looks like. The only assignment of a local name stays: without
    it nothing runs, which proves nothing.
    """

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Yield where a statement could go."""
        if node.type != "simple_stmt" or node.search_ancestor("funcdef") is None:
            return
        statement = node.children[0]
        bare = statement.type == "keyword" and statement.value != "pass"
        if bare or (statement.type in _STATEMENTS and not _names_alone(statement)):
            yield statement.start_pos, statement.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Take the statement out."""
        assert index == 0
        [nothing] = parso.parse("pass").children[:1]
        nothing.prefix = node.children[0].get_first_leaf().prefix
        node.children[0] = nothing
        return node

    @classmethod
    def examples(cls) -> tuple[operator.Example, ...]:
        """See `Operator.examples`; every run begins with them."""
        return (
            operator.Example("def f():\n    check(1)\n", "def f():\n    pass\n"),
            operator.Example("def f(a):\n    a.b = 1\n", "def f(a):\n    pass\n"),
            operator.Example("def f():\n    raise E from e\n", "def f():\n    pass\n"),
            operator.Example("def f():\n    return 1\n", "def f():\n    pass\n"),
            operator.Example("def f():\n    return\n", "def f():\n    pass\n"),
        )


def _names_alone(statement: Any) -> bool:
    """Tell whether *statement* gives local names the only values that they ever get."""
    if statement.type != "expr_stmt":
        return False
    names = statement.get_defined_names()
    if not names or any(name.parent.type == "trailer" for name in names):
        return False
    given = [
        node.value
        for node in ast_nodes(statement.search_ancestor("funcdef"))
        if node.type == "name" and node.is_definition()
    ]
    return all(given.count(name.value) == 1 for name in names)


class IntersectInsteadOfJoin(binary_operator_replacement.ReplaceBinaryOperator_BitOr_BitAnd):  # type: ignore[misc]
    """Puts `&` in place of `|`, but not into annotations, which nothing executes."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Yield where two sets or numbers are joined."""
        if not _in_annotation(node):
            yield from super().mutation_positions(node)


def _in_annotation(node: Any) -> bool:
    while node.parent is not None and node.type not in ("suite", "simple_stmt"):
        if node.type in _ANNOTATED or (node.parent.type == "funcdef" and node.type != "suite"):
            return True
        node = node.parent
    return False


_COMPARISONS = (
    "Eq_NotEq",
    "NotEq_Eq",
    "Lt_LtE",
    "LtE_Lt",
    "Gt_GtE",
    "GtE_Gt",
    "Is_IsNot",
    "IsNot_Is",
)
_SUMS = ("Add_Sub", "Sub_Add")

CHOSEN: dict[str, type[Any]] = {
    "RemoveStatement": RemoveStatement,
    "IntersectInsteadOfJoin": IntersectInsteadOfJoin,
    "AddNot": boolean_replacer.AddNot,
    "AndToOr": boolean_replacer.ReplaceAndWithOr,
    "OrToAnd": boolean_replacer.ReplaceOrWithAnd,
    "TrueToFalse": boolean_replacer.ReplaceTrueWithFalse,
    "FalseToTrue": boolean_replacer.ReplaceFalseWithTrue,
    "OtherException": exception_replacer.ExceptionReplacer,
    "OtherNumber": number_replacer.NumberReplacer,
    "NoIteration": zero_iteration_for_loop.ZeroIterationForLoop,
    **{
        name: getattr(comparison_operator_replacement, f"ReplaceComparisonOperator_{name}")
        for name in _COMPARISONS
    },
    **{
        name: getattr(binary_operator_replacement, f"ReplaceBinaryOperator_{name}")
        for name in _SUMS
    },
}


def check_examples() -> None:
    """Make sure that our own kinds of faults do what they say.

    Raises:
        AssertionError: One does not.
    """
    for kind in (RemoveStatement, IntersectInsteadOfJoin):
        for example in kind.examples():
            made = mutate_code(example.pre_mutation_code, kind(), example.occurrence)
            assert made == example.post_mutation_code, (kind.__name__, made)
    only_value = "def f(x: int | None) -> int | None:\n    y = x\n"
    assert all(mutate_code(only_value, kind(), 0) is None for kind in CHOSEN.values())
