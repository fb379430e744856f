"""Only ``neuro.io.safe`` opens files that can attack: shown by reading the source.

Names are resolved through imports and their aliases, so ``from numpy import
load as l; l(x)`` counts. Uses as a type (annotations, isinstance) do not.
"""

import ast
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The facade and the private modules that only it may import.
OPENERS = {f"neuro/io/{name}.py" for name in ("safe", "_archives", "_arrays", "_checkpoints")}
PRIVATE = {f"neuro.io.{name}" for name in ("_archives", "_arrays", "_checkpoints", "_probe")}

# Functions and classes, by the name they are imported under.
FORBIDDEN = {
    "h5py": {"File"},
    "joblib": {"load", "dump"},
    "numpy": {"load", "save", "savez", "savez_compressed"},
    "numpy.lib.format": {"open_memmap", "read_array", "write_array"},
    "numpy.lib.npyio": {"NpzFile"},
    "pandas": {"HDFStore", "read_hdf", "read_pickle", "to_pickle"},
    "safetensors": {"safe_open", "deserialize", "serialize", "serialize_file"},
    "safetensors.numpy": {"load", "load_file", "save", "save_file"},
    "safetensors.torch": {
        "load", "load_file", "load_model", "save", "save_file", "save_model",
    },
    "shutil": {"unpack_archive"},
    "tarfile": {"open", "TarFile"},
    "torch": {"load", "save"},
    "torch.jit": {"load", "save"},
    "torch.package": {"PackageImporter"},
    "yaml": {
        "load", "load_all", "full_load", "full_load_all", "safe_load", "safe_load_all",
        "unsafe_load", "unsafe_load_all", "compose", "Loader", "FullLoader", "UnsafeLoader",
    },
    "zipfile": {"ZipFile", "PyZipFile", "Path"},
}  # fmt: skip
# Modules that have no business here at all.
BANNED = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve"}
# The bare names of top-level folders: inside the library only neuro.datasets, neuro.models.
BARE = {"datasets", "models"}
# Methods whatever they are called on.
METHODS = {"extractall", "read_hdf", "read_pickle", "to_hdf", "to_pickle", "unpack_archive"}


class Scan(ast.NodeVisitor):
    """Collects ``line: what`` for each offence in one module."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.found: list[str] = []

    def tell(self, node: ast.AST, what: str) -> None:
        self.found.append(f"{node.lineno}: {what}")

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.check_module(node, alias.name)
            top = alias.name.partition(".")[0]
            self.names[alias.asname or top] = alias.name if alias.asname else top

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level:
            self.tell(node, "relative import")
            return
        self.check_module(node, module)
        for alias in node.names:
            full = f"{module}.{alias.name}"
            if alias.name == "*" and module in FORBIDDEN:
                self.tell(node, f"from {module} import *")
            if full in PRIVATE or full in BANNED:
                self.check_module(node, full)
            self.names[alias.asname or alias.name] = full

    def check_module(self, node: ast.AST, name: str) -> None:
        top = name.partition(".")[0]
        if top in BANNED or top in BARE or name in PRIVATE:
            self.tell(node, f"import {name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in METHODS:
            self.tell(node, f".{node.attr}")
        else:
            self.check_name(node)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.check_name(node)

    def check_name(self, node: ast.expr) -> None:
        module, _, name = self.dotted(node).rpartition(".")
        if name in FORBIDDEN.get(module, ()):
            self.tell(node, f"{module}.{name}")

    def dotted(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return self.names.get(node.id, "")
        if isinstance(node, ast.Attribute):
            before = self.dotted(node.value)
            return f"{before}.{node.attr}" if before else ""
        return ""

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass"):
            self.visit(node.args[0])
            return
        if isinstance(node.func, ast.Name) and node.func.id == "__import__":
            self.tell(node, "__import__")
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        pass  # an annotation only

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in [*node.decorator_list, node.args, *node.body]:
            self.visit(part)

    visit_AsyncFunctionDef = visit_FunctionDef


def scan(source: str) -> list[str]:
    visitor = Scan()
    visitor.visit(ast.parse(source))
    return visitor.found


def modules() -> list[Path]:
    """Every module of the library once: the links in neuro/ are not followed."""
    found = []
    for top in ("neuro", "datasets", "models"):
        for folder, _, files in os.walk(ROOT / top):
            found += [Path(folder, f) for f in files if f.endswith(".py")]
    return sorted(found)


def test_the_scan_sees_the_whole_library():
    seen = {p.relative_to(ROOT).as_posix() for p in modules()}
    assert seen >= OPENERS
    assert {"datasets/__init__.py", "models/__init__.py", "neuro/errors.py"} <= seen


def test_nothing_else_opens_files_that_can_attack():
    offences = []
    for path in modules():
        name = path.relative_to(ROOT).as_posix()
        if name in OPENERS:
            continue
        found = scan(path.read_text(encoding="utf-8"))
        offences += [f"{name}:{line}" for line in found]
    # What a safe opener lacks belongs into neuro/io/safe.py, not around it.
    assert offences == []


def test_the_openers_themselves_would_be_caught():
    assert all(scan((ROOT / name).read_text(encoding="utf-8")) for name in OPENERS)


def test_the_openers_never_unpickle_nor_unpack_everything():
    allowed = {
        "h5py.File", "numpy.load", "numpy.lib.format.read_array", "numpy.lib.format.write_array",
        "safetensors.torch.load", "safetensors.torch.save_file", "tarfile.open", "torch.load",
        "yaml.load", "zipfile.ZipFile",
    }  # fmt: skip
    used = set()
    for name in OPENERS:
        for line in scan((ROOT / name).read_text(encoding="utf-8")):
            what = line.partition(": ")[2]
            used |= {what} - {f"import {module}" for module in PRIVATE}
    assert used == allowed


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import h5py\nh5py.File('x')", "h5py.File"),
        ("import h5py as h\nf = h.File\n", "h5py.File"),
        ("from h5py import File as F\nwith F('x'): pass", "h5py.File"),
        ("def f():\n    import numpy as np\n    return np.load('x')", "numpy.load"),
        ("from numpy import load as l\nl('x')", "numpy.load"),
        ("import numpy as np\nnp.savez_compressed('x', a=1)", "numpy.savez_compressed"),
        ("import numpy\nmap(numpy.load, [])", "numpy.load"),
        ("import numpy as np\nnp.lib.format.open_memmap('x')", "numpy.lib.format.open_memmap"),
        ("from numpy.lib import format as g\ng.read_array(x)", "numpy.lib.format.read_array"),
        ("import torch\ntorch.load('x', weights_only=False)", "torch.load"),
        ("import torch\ntorch.save({}, 'x')", "torch.save"),
        ("import pickle\n", "import pickle"),
        ("from pickle import loads\n", "import pickle"),
        ("import joblib\njoblib.dump(1, 'x')", "joblib.dump"),
        ("import yaml\nyaml.load(x, Loader=yaml.SafeLoader)", "yaml.load"),
        ("import yaml\nyaml.safe_load(x)", "yaml.safe_load"),
        ("from yaml import unsafe_load\nunsafe_load(x)", "yaml.unsafe_load"),
        ("import zipfile\nzipfile.ZipFile('x')", "zipfile.ZipFile"),
        ("from tarfile import open as o\no('x')", "tarfile.open"),
        ("x.extractall('y')", ".extractall"),
        ("import shutil\nshutil.unpack_archive('x')", ".unpack_archive"),
        ("from shutil import unpack_archive as u\nu('x')", "shutil.unpack_archive"),
        ("from safetensors import safe_open\nsafe_open('x')", "safetensors.safe_open"),
        ("import safetensors.torch as s\ns.load_file('x')", "safetensors.torch.load_file"),
        ("import safetensors.torch\nsafetensors.torch.save_file(x)", "safetensors.torch.save_file"),
        ("frame.to_pickle('x')", ".to_pickle"),
        ("from torch import *\n", "from torch import *"),
        ("import datasets\n", "import datasets"),
        ("import datasets.scp1 as s\n", "import datasets.scp1"),
        ("from models import patch_mae\n", "import models"),
        ("from models.patch_mae import X\n", "import models.patch_mae"),
        ("from . import x\n", "relative import"),
        ("from neuro.io import _arrays\n", "import neuro.io._arrays"),
        ("from neuro.io._archives import open_zip\n", "import neuro.io._archives"),
        ("m = __import__('pickle')\n", "__import__"),
    ],
)
def test_planted_offences_are_found(source, what):
    assert [f.partition(": ")[2] for f in scan(source)] == [what]


@pytest.mark.parametrize(
    "source",
    [
        "import h5py\ndef f(x: h5py.File) -> h5py.File:\n    y: h5py.File = x\n    return y",
        "import h5py\nisinstance(x, h5py.File)",
        "import h5py\nisinstance(x, h5py.Dataset)",
        "from neuro.datasets import load\nload('scp1')",
        "from neuro import models\nmodels.load('x')",
        "import neuro.models\nneuro.models.load('x')",
        "from neuro.io import safe\nsafe.load_npy('x')\nsafe.open_hdf5('x')",
        "import numpy as np\nnp.loadtxt('x')\nnp.memmap('x')",
        "import yaml\nyaml.safe_dump({})",
        "import json\njson.load(x)",
        "def load(x): ...\nload(1)\nself.load(2)",
        "import joblib\njoblib.Parallel(2)",
    ],
)
def test_innocent_code_passes(source):
    assert scan(source) == []
