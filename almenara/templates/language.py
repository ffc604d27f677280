"""What a template may say: a part of Jinja2 that can neither reach Python nor grow without bound.

Jinja2's own sandbox keeps a template from the interpreter, but not from rendering 100 MB or looping
for ever. So what is written is read into Jinja2's tree first, only the nodes that are named here
may stand in it, loops and joins are made to count, and methods do not exist at all: what stands
behind a dot is a key of the message's own JSON.
"""

from __future__ import annotations

from typing import Any, Final

from jinja2 import nodes
from jinja2.environment import Environment

from almenara.errors import TemplateError

#: The name under which the tree's loops find the budget; no template can write it.
BUDGET: Final = "_budget"
#: The filters that stand for what the tree says otherwise.
COUNTED: Final = "_counted"
JOINED: Final = "_joined"
ITEMS: Final = "items"

_ALLOWED: Final = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const),
    *(nodes.If, nodes.For, nodes.Assign, nodes.CondExpr),
    *(nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.Keyword),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Compare, nodes.Operand, nodes.Concat),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
    *(nodes.Neg, nodes.Pos, nodes.List, nodes.Tuple),
)
#: What people call these, where Jinja2's class name would tell them nothing.
_CALLED: Final = {
    nodes.Call: "a call with ( ): write a filter, such as `name|upper`",
    nodes.Pow: "`**`",
    nodes.Dict: "an object in { }",
    nodes.Macro: "`macro`",
    nodes.CallBlock: "`call`",
    nodes.FilterBlock: "`filter` as a block",
    nodes.AssignBlock: "`set` as a block",
    nodes.Include: "`include`",
    nodes.Import: "`import`",
    nodes.FromImport: "`import`",
    nodes.Extends: "`extends`",
    nodes.Block: "`block`",
    nodes.With: "`with`",
    nodes.NSRef: "`namespace`",
}


def read_tree(environment: Environment, source: str) -> nodes.Template:
    """Read a template into a tree in which nothing stands that is not allowed.

    Raises:
        TemplateError: something is not allowed; names the line.
        jinja2.TemplateSyntaxError: it is no template.
    """
    tree = environment.parse(source)
    _check(tree)
    _rewrite_children(tree)
    return tree


def _check(node: nodes.Node) -> None:
    kind = type(node)
    if kind is nodes.Call and _mapping_method(node) is not None:
        _check(node.node.node)  # type: ignore[attr-defined]  # a call of an attribute, as was seen
        return
    if kind not in _ALLOWED:
        said = _CALLED.get(kind, f"`{kind.__name__.lower()}`")
        raise TemplateError(f"line {node.lineno}: {said} cannot be used here")
    _check_node(node)
    for child in node.iter_child_nodes():
        _check(child)


def _check_node(node: nodes.Node) -> None:
    """Refuse what an allowed node may not be."""
    if isinstance(node, nodes.For) and node.recursive:
        raise TemplateError(f"line {node.lineno}: a loop cannot be recursive")
    if isinstance(node, nodes.Name | nodes.Filter) and node.name.startswith("_"):
        raise TemplateError(f"line {node.lineno}: a name cannot begin with `_`")
    # A list of values could hold one of them many times, and that list in another, and so on.
    listed = isinstance(node, nodes.List | nodes.Tuple) and getattr(node, "ctx", "load") == "load"
    if listed and not all(isinstance(one, nodes.Const) for one in node.iter_child_nodes()):
        raise TemplateError(f"line {node.lineno}: a list can hold only texts and numbers")
    if isinstance(node, nodes.Filter) and (node.dyn_args or node.dyn_kwargs):
        raise TemplateError(f"line {node.lineno}: `*` cannot stand in a filter")


def _mapping_method(node: nodes.Node) -> str | None:
    """Return ``items`` for ``value.items()``, as people write it; the filter stands for it."""
    if not isinstance(node, nodes.Call) or node.args or node.kwargs:
        return None
    if node.dyn_args or node.dyn_kwargs or not isinstance(node.node, nodes.Getattr):
        return None
    return ITEMS if node.node.attr == ITEMS else None


def _rewrite_children(node: Any) -> None:
    """Rewrite the tree below a node in place."""
    for name in node.fields:
        value = getattr(node, name)
        if isinstance(value, list):
            rewritten = [_rewritten(one) if isinstance(one, nodes.Node) else one for one in value]
            setattr(node, name, rewritten)
        elif isinstance(value, nodes.Node):
            setattr(node, name, _rewritten(value))


def _rewritten(node: nodes.Node) -> nodes.Node:
    """Return what counts in place of what does not."""
    _rewrite_children(node)
    if isinstance(node, nodes.For):
        node.iter = _filter(node.iter, COUNTED, node.lineno)
        return node
    if isinstance(node, nodes.Concat):
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return _filter(parts, JOINED, node.lineno)
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        return _filter(node.node.node, ITEMS, node.lineno)
    return node


def _filter(value: Any, name: str, line: int) -> nodes.Filter:
    return nodes.Filter(value, name, [], [], None, None, lineno=line)
