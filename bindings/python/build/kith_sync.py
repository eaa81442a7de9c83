"""Writes the module behind `kith.sync` from the asynchronous classes, so that the two cannot differ.

Each public method that is a coroutine becomes one that blocks, with the same parameters, types, documentation and
examples (without `await`); asynchronous iterators become iterators. What this cannot translate is an error of the build.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

# The classes that are translated, and the modules that have them.
CLASSES = {"Events": "_events", "Context": "_context", "Node": "_node"}
# What `Facade` has once and for all.
INHERITED = {"__init__", "__repr__", "__eq__", "__hash__"}
RENAMED = {"__aenter__": "__enter__", "__aexit__": "__exit__", "__aiter__": "__iter__", "__anext__": "__next__"}

HEADER = '''"""Written by the build from the asynchronous classes: see build/kith_sync.py."""

from __future__ import annotations

'''


class Module:
    """A module with a class in it, and where its names come from."""

    def __init__(self, package: Path, name: str) -> None:
        self.name = name
        self.tree = ast.parse((package / f"{name}.py").read_text(encoding="utf-8"))
        self.sources: dict[str, str] = {}
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom):
                module = f".{'.' * node.level}{node.module or ''}" if node.level else node.module or ""
                for alias in node.names:
                    self.sources[alias.asname or alias.name] = f"from {module} import {alias.name}"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.sources[alias.asname or alias.name] = f"import {alias.name}"
            elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                self.sources[node.name] = f"from ..{name} import {node.name}"
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.sources[target.id] = f"from ..{name} import {target.id}"
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                self.sources[node.target.id] = f"from ..{name} import {node.target.id}"

    def definition(self, name: str) -> ast.ClassDef:
        return next(node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def plain(text: str) -> str:
    """Documentation and examples as they are without asyncio."""
    text = re.sub(r"\basync (with|for)\b", r"\1", text)
    return re.sub(r"\bawait ", "", text)


def names_in(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def documentation(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, indent: str) -> str:
    text = ast.get_docstring(node, clean=True)
    if text is None:
        return ""
    lines = plain(text).replace("\\", "\\\\").split("\n")
    body = f"\n{indent}".join(lines).replace(f"\n{indent}\n", "\n\n")
    ending = f"\n{indent}" if len(lines) > 1 else ""
    return f'{indent}"""{body}{ending}"""\n'


class Translator:
    def __init__(self, module: Module, owner: ast.ClassDef) -> None:
        self.module = module
        self.owner = owner.name
        self.definition = owner
        self.methods = {node.name: node for node in owner.body if isinstance(node, ast.FunctionDef)}
        self.imports: set[str] = set()

    def fail(self, method: str, why: str) -> SystemExit:
        return SystemExit(f"kith.sync: {self.owner}.{method} cannot be translated: {why}; teach build/kith_sync.py")

    def uses(self, node: ast.AST) -> None:
        for name in names_in(node) - set(CLASSES):
            source = self.module.sources.get(name)
            if source is not None:
                self.imports.add(source)

    def parameters(self, method: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, str]:
        """The parameters as they are declared, and as they are passed on."""
        given = method.args
        if given.vararg or given.kwarg or given.posonlyargs:
            raise self.fail(method.name, "it has parameters of an unusual kind")
        keep = [i for i, argument in enumerate(given.kwonlyargs) if not argument.arg.startswith("_")]
        given.kwonlyargs, given.kw_defaults = (
            [given.kwonlyargs[i] for i in keep],
            [given.kw_defaults[i] for i in keep],
        )
        passed = [argument.arg for argument in given.args[1:]]
        passed += [f"{argument.arg}={argument.arg}" for argument in given.kwonlyargs]
        for argument in given.args[1:] + given.kwonlyargs:
            if argument.annotation is None:
                raise self.fail(method.name, f"{argument.arg} has no type")
            if names_in(argument.annotation) & set(CLASSES):
                raise self.fail(method.name, f"{argument.arg} is of a class that is translated")
        self.uses(given)
        return ast.unparse(given), ", ".join(passed)

    def method(self, method: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        decorators = {ast.unparse(decorator) for decorator in method.decorator_list}
        if decorators - {"property", "classmethod"} or method.returns is None:
            raise self.fail(method.name, "it has another decorator, or no type")
        name = RENAMED.get(method.name, method.name)
        declared, passed = self.parameters(method)
        returns = ast.unparse(method.returns)
        # A stream says that it has ended by an exception of asynchronous iterators.
        stream = re.fullmatch(r"AsyncIterator\[(.+)\]", returns)
        owner = f"_{self.owner}" if "classmethod" in decorators else "self._inner"
        asked = f"{owner}.{method.name}" if "property" in decorators else f"{owner}.{method.name}({passed})"
        # What needs no event loop, but only a thread that may wait.
        here = self.methods.get(f"_{name}_blocking")
        if here is not None:
            if (ast.unparse(here.args), ast.unparse(here.returns or here)) != (ast.unparse(method.args), returns):
                raise self.fail(here.name, "its parameters or its type are not those of the coroutine")
            self.imports.add("from ._loop import here")
            asked = f"here({owner}.{here.name}, {passed})"
        elif isinstance(method, ast.AsyncFunctionDef) and stream is None:
            asked = f"call({asked})"
        if stream is not None:
            self.imports.add("from collections.abc import Iterator")
            inner = method.returns
            self.uses(inner.slice if isinstance(inner, ast.Subscript) else inner)
            returns, body = f"Iterator[{stream[1]}]", [f"return iterate({asked})"]
        elif method.name == "__anext__":
            self.uses(method.returns)
            self.imports.add("from .._errors import ClosedError")
            body = ["try:", f"    return call({owner}.next())", "except ClosedError:", "    raise StopIteration from None"]
        elif method.name in ("__aenter__", "__aiter__"):
            body = ["return self"]
        elif returns in CLASSES:
            body = [f"return {'cls' if 'classmethod' in decorators else returns}({asked})"]
        elif names_in(method.returns) & set(CLASSES):
            raise self.fail(method.name, f"it returns {returns}")
        else:
            self.uses(method.returns)
            body = [asked if returns == "None" else f"return {asked}"]
        lines = [f"    @{decorator}\n" for decorator in sorted(decorators)]
        lines.append(f"    def {name}({declared}) -> {returns}:\n")
        lines.append(documentation(method, " " * 8))
        lines += [f"        {line}\n" for line in body]
        return "".join(lines)

    def translate(self) -> str:
        base = ""
        for inherited in self.definition.bases:
            word = ast.unparse(inherited)
            if not word.startswith("AsyncIterator["):
                raise self.fail("", f"it is a {word}")
            self.imports.add("from collections.abc import Iterator")
            base = ", " + word.replace("AsyncIterator", "Iterator")
            self.uses(inherited.slice if isinstance(inherited, ast.Subscript) else inherited)
        parts = [f"class {self.owner}(Facade[_{self.owner}]{base}):\n" + documentation(self.definition, " " * 4)]
        for node in self.definition.body:
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.name in INHERITED:
                continue
            if node.name.startswith("_") and node.name not in RENAMED:
                continue
            parts.append(self.method(node))
        return "\n".join(parts)


def blocking(package: Path) -> str:
    """The text of the module."""
    imports = {"from ._loop import Facade, call, iterate"}
    classes = []
    for name, module_name in CLASSES.items():
        module = Module(package, module_name)
        translator = Translator(module, module.definition(name))
        classes.append(translator.translate())
        imports |= translator.imports
        imports.add(f"from ..{module_name} import {name} as _{name}")
    plainly = sorted(line for line in imports if not line.startswith("from ."))
    relative = sorted(line for line in imports if line.startswith("from ."))
    return HEADER + "\n".join(plainly + [""] + relative) + "\n\n\n" + "\n\n".join(classes)


def same(package: Path) -> str:
    """The text of the module with all that `kith.sync` has from `kith` as it is."""
    names = set()
    for module in ("__init__", "_errors", "_events"):
        for node in ast.parse((package / f"{module}.py").read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names |= set(ast.literal_eval(node.value))
    names -= {*CLASSES, "testing"}
    lines = [f"from .. import {name} as {name}\n" for name in sorted(names)]
    listed = "".join(f"    {name!r},\n" for name in sorted(names))
    return HEADER + "".join(lines) + f"\n__all__ = [\n{listed}]\n"


if __name__ == "__main__":
    print(blocking(Path(__file__).resolve().parent.parent / "kith"))
