"""Whether code that nobody runs calls the package as it is defined."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, field

import carkinetics


@dataclass
class CallChecker:
    """Follows the values of ``ck.…`` calls through the blocks of one page.

    What a variable holds is known from the annotation of the call that made it; what is not known
    is not judged.
    """

    page: str
    kinds: dict[str, type] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def read(self, tree: ast.Module) -> None:
        for statement in tree.body:
            for node in ast.walk(statement):
                if isinstance(node, ast.Call):
                    self._check_call(node)
                elif isinstance(node, ast.Attribute):
                    self._check_attribute(node)
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                kind = self._kind(statement.value)
                if kind is None:
                    self.kinds.pop(statement.targets[0].id, None)
                else:
                    self.kinds[statement.targets[0].id] = kind

    def _check_attribute(self, node: ast.Attribute) -> None:
        if _is_package(node.value):
            if node.attr not in carkinetics.__all__:
                self._fault(node, f"ck.{node.attr} is not a public name")
            return
        kind = self._kind(node.value)
        if kind is not None and not _has(kind, node.attr):
            self._fault(node, f"{kind.__name__} has no '{node.attr}'")

    def _check_call(self, node: ast.Call) -> None:
        target = self._target(node.func)
        if target is None:
            return
        given = [None] * len(node.args)
        named = {word.arg: None for word in node.keywords if word.arg is not None}
        try:
            inspect.signature(target).bind(*given, **named)
        except TypeError as error:
            self._fault(node, f"{ast.unparse(node)}: {error}")

    def _target(self, function: ast.expr) -> object:
        """Return what is called: a public function, or a method bound to nothing."""
        if not isinstance(function, ast.Attribute):
            return None
        if _is_package(function.value):
            return _public(function.attr)
        kind = self._kind(function.value)
        method = inspect.getattr_static(kind, function.attr, None) if kind else None
        return method.__get__(object(), kind) if inspect.isfunction(method) else None

    def _kind(self, node: ast.expr) -> type | None:
        """Return the public class of an expression's value, where it is known."""
        if isinstance(node, ast.Name):
            return self.kinds.get(node.id)
        if isinstance(node, ast.Call):
            target = self._target(node.func)
            if inspect.isclass(target):
                return target
            returned = getattr(target, "__annotations__", {}).get("return")
            name = returned if isinstance(returned, str) else getattr(returned, "__name__", "")
            made = _public(name)
            return made if inspect.isclass(made) else None
        return None

    def _fault(self, node: ast.expr, what: str) -> None:
        self.faults.append(f"{self.page}:{node.lineno}: {what}")


def _is_package(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "ck"


def _public(name: str) -> object:
    return getattr(carkinetics, name) if name in carkinetics.__all__ else None


def _has(kind: type, name: str) -> bool:
    return hasattr(kind, name) or any(
        name in vars(c).get("__annotations__", {}) for c in kind.mro()
    )
