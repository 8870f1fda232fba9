"""Equations as Stan functions, and a Stan program compiled for direct calls in this process.

Stan's headers, its compiler `stanc` and its libraries come with the package httpstan (the extra
`bench`); C++ is compiled with the machine's own compiler.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

# Those of Stan's own builds; the last is that of the object file in the package.
FLAGS = [
    "-O3", "-std=c++17", "-fPIC", "-shared", "-w", "-DNDEBUG", "-DBOOST_DISABLE_ASSERTS",
    "-DBOOST_PHOENIX_NO_VARIADIC_EXPRESSION", "-DSTAN_THREADS", "-D_REENTRANT",
    "-D_GLIBCXX_USE_CXX11_ABI=0",
]  # fmt: skip
_LIBRARIES = ["-lsundials_cvodes", "-lsundials_idas", "-lsundials_nvecserial", "-ltbb"]
_FUNCTIONS = {"logistic": "inv_logit", "softplus": "log1p_exp", "hill": "hill"}
_HILL = """
real hill(real x, real k, real n) {
  return inv_logit(n * (log(x) - log(k)));
}
"""


def missing() -> str:
    """Say why Stan cannot be run here; empty if it can."""
    if importlib.util.find_spec("httpstan") is None:
        return "httpstan is not installed (the extra bench)"
    if shutil.which(_compiler()) is None:
        return f"there is no C++ compiler ({_compiler()})"
    return ""


def functions_block(equations: Any) -> str:
    """Write start(p), rates(t, y, p) and log_levels(t, y, p) of a system, y in its coordinates."""
    import sympy

    names = {s: sympy.Symbol(f"y[{i + 1}]") for i, s in enumerate(equations.states)}
    names |= {s: sympy.Symbol(f"p[{i + 1}]") for i, s in enumerate(equations.parameters)}
    names[equations.time] = sympy.Symbol("t")
    logs = [sympy.log(level) for level in equations.levels]
    return "\n".join(
        [
            "functions {",
            _HILL,
            _function("start(vector p)", equations.start, names),
            _function("rates(real t, vector y, vector p)", equations.rates, names),
            _function("log_levels(real t, vector y, vector p)", logs, names),
            "}",
        ]
    )


def _function(head: str, values: Any, names: dict[Any, Any]) -> str:
    import sympy
    from sympy.printing.c import C99CodePrinter

    printer = C99CodePrinter({"user_functions": _FUNCTIONS, "math_macros": {}})
    renamed = [sympy.sympify(value).xreplace(names) for value in values]
    shared, left = sympy.cse(renamed, symbols=sympy.numbered_symbols("shared"))
    lines = [f"  real {symbol} = {printer.doprint(value)};" for symbol, value in shared]
    listed = ", ".join(printer.doprint(value) for value in left)
    return "\n".join([f"vector {head} {{", *lines, f"  return [{listed}]';", "}"])


def compiled(program: str) -> Any:
    """Return the module of a program, with `log_prob_grad` and the samplers of Stan.

    Compiled programs are kept in a folder of the machine's temporary files.

    Raises
    ------
    subprocess.CalledProcessError
        If the program is not right, or C++ is not compiled; the messages are shown.
    """
    import httpstan

    package = Path(httpstan.__file__).parent.resolve()
    known = "\n".join([program, httpstan.__version__, _compiler(), *FLAGS])
    name = f"model_{hashlib.sha256(known.encode()).hexdigest()[:16]}"
    folder = Path(tempfile.gettempdir()) / f"carkinetics-stan-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{name}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as place:
            _build(package, program, name, Path(place))
            os.replace(Path(place) / library.name, library)
    spec = importlib.util.spec_from_file_location("stan_services", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(package: Path, program: str, name: str, folder: Path) -> None:
    source, cpp = folder / f"{name}.stan", folder / f"{name}.cpp"
    source.write_text(program, encoding="utf-8")
    stanc = [str(package / "stanc"), "--name", name, f"--o={cpp}", str(source)]
    subprocess.run(stanc, check=True)
    lib = package / "lib"
    command = [
        _compiler(), *FLAGS, f"-I{package / 'include'}", str(cpp),
        str(package / "stan_services.o"), f"-L{lib}", f"-Wl,-rpath,{lib}", *_LIBRARIES,
        "-o", str(folder / f"{name}.so"),
    ]  # fmt: skip
    subprocess.run(command, check=True)


def _compiler() -> str:
    return os.environ.get("CXX", "g++")
