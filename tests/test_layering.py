"""The structure of the codebase: direction of imports, names, sizes and tests of files, and settings that are read.

    section, padding, languages, mixture → spec → ops → layers → models ─┬→ training ─────────────┐
                                  ├→ decoding → evaluation ┼→ experiments → launch
                                  ├→ analysis, interop ────┘
    data (numpy; no jax) ─────────┴──────────────────────→ experiments
    byte_size (standard library only), storage, buckets, local_copy, atomic_file → training, interop, data, experiments
    configs (ml_collections only) is imported by no module of transformer/

    inside experiments/:  runtime ← web ← runs ← sweeps, studies, serving ← commands, benchmark ← launch

Each rule is a function from source text to problems. The tests at the end show that each rule can fail.
"""

import ast
import dataclasses
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from transformer import spec

ROOT = Path(__file__).parents[1]
PROJECT = ("transformer", "configs", "experiments", "launch")

# What a module may import from the project, by the longest prefix of its name. A name includes everything below it.
_SPEC = ("transformer.section", "transformer.spec")
_BASE = (*_SPEC, "transformer.ops", "transformer.layers")
_FILES = ("transformer.storage", "transformer.local_copy", "transformer.atomic_file")
_MODEL = (*_BASE, "transformer.models.interface")
# Packages of experiments/, each with the other packages that it may import.
ORDER: dict[str, tuple[str, ...]] = {"runtime": (), "web": ("runtime",), "runs": ("runtime", "web")}
ORDER |= {name: tuple(ORDER) for name in ("sweeps", "studies", "serving")}
ORDER |= {"benchmark": tuple(ORDER)}


def _inside_experiments(package: str) -> tuple[str, ...]:
    return ("transformer", "configs", *(f"experiments.{name}" for name in (*ORDER[package], package)))


# A command is a file of experiments/ itself: it imports packages, and no other command.
_COMMAND = ("transformer", "configs", *(f"experiments.{name}" for name in ORDER if name != "benchmark"))
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "transformer": (),
    "transformer.section": (),
    "transformer.padding": (),
    "transformer.languages": ("transformer.section",),
    "transformer.mixture": ("transformer.section",),
    "transformer.run_spec": ("transformer.section",),
    "transformer.spec": (
        "transformer.section",
        "transformer.languages",
        "transformer.mixture",
        "transformer.padding",
        "transformer.run_spec",
    ),
    "transformer.storage": ("transformer.buckets",),
    "transformer.buckets": (),
    "transformer.atomic_file": ("transformer.storage", "transformer.buckets"),
    "transformer.local_copy": ("transformer.storage", "transformer.buckets", "transformer.atomic_file"),
    "transformer.byte_size": (),
    "transformer.ops": ("transformer.spec", "transformer.ops"),
    "transformer.layers": _BASE,
    "transformer.models": (*_BASE, "transformer.models"),
    "transformer.training": (*_MODEL, *_FILES, "transformer.byte_size", "transformer.training"),
    "transformer.decoding": (*_MODEL, "transformer.decoding"),
    "transformer.evaluation": (*_MODEL, "transformer.languages", "transformer.decoding", "transformer.evaluation"),
    "transformer.analysis": (*_MODEL, "transformer.analysis"),
    "transformer.interop": (*_BASE, *_FILES, "transformer.models", "transformer.interop"),
    "transformer.data": (
        "transformer.section",
        "transformer.spec",
        "transformer.padding",
        "transformer.languages",
        "transformer.mixture",
        *_FILES,
        "transformer.data",
    ),
    "configs": ("configs",),
    "experiments": _COMMAND,
    **{f"experiments.{name}": _inside_experiments(name) for name in ORDER},
    "launch": PROJECT,
}

# Third-party and standard modules that a module must not import, by every prefix of its name.
MUST_NOT_IMPORT: dict[str, tuple[str, ...]] = {
    "transformer": ("absl", "time", "datetime"),
    "transformer.ops": ("flax",),
    "transformer.data": ("jax", "jaxlib", "flax", "optax", "orbax"),
}

# Third-party and standard modules that a module may import; no others.
IMPORTS_ONLY: dict[str, frozenset[str]] = {
    "transformer.section": frozenset(sys.stdlib_module_names),
    "transformer.padding": frozenset(sys.stdlib_module_names),
    "transformer.run_spec": frozenset((*sys.stdlib_module_names, "transformer")),
    "transformer.spec": frozenset((*sys.stdlib_module_names, "transformer")),
    "configs": frozenset({"ml_collections", "typing"}),
}

# Names that would tie transformer/ to a terminal or an environment, or hide an import from this test.
FORBIDDEN = ("print", "input", "os.environ", "os.getenv", "importlib.import_module", "__import__")

MAX_LINES = 400  # lines; 300 is the soft limit
MEANINGLESS = re.compile(r"(?i)_?(utils?|helpers?|misc|common)(\.py)?")
UNTESTED: dict[str, str] = {}


def files(*folders: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields the line and the full dotted name of every import in the file; `from a import b` is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def commands() -> Iterator[str]:
    """Yields the modules that run as programs. Benchmark peers are exempt: their classes are used, too."""
    for path in files("experiments", "launch"):
        if "peers" not in path.parts and re.search(
            '^if __name__ == "__main__":', (ROOT / path).read_text("utf-8"), re.M
        ):
            yield module_name(path)


COMMANDS = tuple(commands())


def cycles(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Returns one line for each module from which a chain of imports leads back to it."""
    chains = []
    for start in graph:
        paths: list[tuple[str, ...]] = [(start,)]
        seen = set[str]()
        while paths:
            path = paths.pop()
            for name in graph.get(path[-1], ()):
                if name == start:
                    chains.append(" → ".join((*path, name)))
                    paths = []
                    break
                if name not in seen:
                    seen.add(name)
                    paths.append((*path, name))
    return chains


def import_graph() -> dict[str, list[str]]:
    """Returns the modules of the project that each module imports, anywhere in its file."""
    modules = {module_name(path): ROOT / path for path in files(*PROJECT)}

    def module_of(name: str) -> str:
        while name and name not in modules:
            name = name.rpartition(".")[0]
        return name

    return {
        module: sorted({module_of(name) for _, name in imports(ast.parse(path.read_text("utf-8")))} - {"", module})
        for module, path in modules.items()
    }


def import_problems(module: str, source: str) -> list[str]:
    """Returns the imports of the file `module` that its layer does not allow."""
    prefixes = sorted((prefix for prefix in MAY_IMPORT if within(module, (prefix,))), key=len)
    knows = MAY_IMPORT[prefixes[-1]]
    # transformer/__init__.py is `transformer`; a file outside of every layer must not inherit its empty list.
    if prefixes[-1] == "transformer" and module != "transformer":
        return [f"{module}: belongs to no layer; add it to MAY_IMPORT"]
    problems = []
    for line, name in imports(ast.parse(source)):
        root = name.split(".")[0]
        if name.startswith("."):
            problem = "is relative; write the full name"
        elif within(name, COMMANDS):
            problem = "is a command, which no module imports"
        elif root in PROJECT:
            problem = "" if within(name, knows) else f"is not left of it; it may import {', '.join(knows) or 'nothing'}"
        else:
            shunned = any(within(name, names) for prefix, names in MUST_NOT_IMPORT.items() if within(module, (prefix,)))
            foreign = any(root not in names for prefix, names in IMPORTS_ONLY.items() if within(module, (prefix,)))
            problem = "does not belong in this layer" if shunned or foreign else ""
        if problem:
            problems.append(f"{module}:{line}: import of {name} {problem}")
    return problems


def call_problems(module: str, source: str) -> list[str]:
    """Returns uses of the environment, of a terminal, and of imports by string."""
    uses = [
        (node.lineno, ast.unparse(node))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name | ast.Attribute)
    ]
    uses += [(line, name) for line, name in imports(ast.parse(source))]
    return [f"{module}:{line}: {name} is not allowed in transformer/" for line, name in uses if name in FORBIDDEN]


def docstring_problems(module: str, source: str) -> list[str]:
    """Returns public modules, classes, functions and methods without a docstring."""

    def visit(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Iterator[str]:
        if not ast.get_docstring(node):
            yield f"{name}: no docstring"
        if isinstance(node, ast.Module | ast.ClassDef):  # functions inside functions are private
            for child in node.body:
                if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and child.name[0] != "_":
                    yield from visit(child, f"{name}.{child.name}")

    return list(visit(ast.parse(source), module))


def length_problems(module: str, source: str) -> list[str]:
    lines = source.count("\n")
    return (
        [f"{module}: {lines} lines, {lines - MAX_LINES} more than {MAX_LINES}: split it"] if lines > MAX_LINES else []
    )


def name_problems(path: Path) -> list[str]:
    return [f"{path}: {part} does not name its content" for part in path.parts if MEANINGLESS.fullmatch(part)]


def homes_of_test(path: Path) -> list[Path]:
    """Returns where the test of a file may be: at its mirrored path, or at that of a folder that contains it.

    transformer/data/grammar/verbs.py: tests/data/grammar/test_verbs.py, or tests/data/test_grammar.py.
    """
    parts = path.with_suffix("").parts[1:]
    own = [parts[:depth] for depth in range(len(parts), 1, -1)] or [parts]
    return [Path("tests", *folders, f"test_{name}.py") for *folders, name in own]


@dataclasses.dataclass
class Reads:
    """Finds the fields of each section that are read; `sections` maps a section's name to its dataclass.

    A read is `….model.heads`, `model.heads`, or `spec.heads` and `self.spec.heads` where an annotation of the function
    or of the class says `spec: ModelSpec`.
    """

    sections: dict[str, type]
    found: set[tuple[str, str]] = dataclasses.field(default_factory=set)

    def scan(self, source: str) -> None:
        tree = ast.parse(source)
        self._attributes(tree, {})
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._attributes(node, self._arguments(node))
            elif isinstance(node, ast.ClassDef):
                self._attributes(node, self._attribute_sections(node))

    def scan_properties(self, source: str) -> None:
        """Of the spec only reads in public properties and methods count: a check does not use a value."""
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef) and (section := self._section(node.name)):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        self._attributes(method, {"self": section})

    def _section(self, annotation: str) -> str | None:
        last = annotation.split(".")[-1]
        return next((section for section, kind in self.sections.items() if kind.__name__ == last), None)

    def _arguments(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, str]:
        arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        sections = {arg.arg: self._section(ast.unparse(arg.annotation)) for arg in arguments if arg.annotation}
        return {name: section for name, section in sections.items() if section}

    def _attribute_sections(self, owner: ast.ClassDef) -> dict[str, str]:
        """Sections of attributes: `spec: ModelSpec` in a class, `self.spec = spec` of an annotated argument."""
        sections = {}
        for node in ast.walk(owner):
            if isinstance(node, ast.AnnAssign) and (section := self._section(ast.unparse(node.annotation))):
                sections[f"self.{ast.unparse(node.target).removeprefix('self.')}"] = section
            elif isinstance(node, ast.FunctionDef):
                arguments = self._arguments(node)
                for part in ast.walk(node):
                    if isinstance(part, ast.Assign) and (section := arguments.get(ast.unparse(part.value))):
                        sections[ast.unparse(part.targets[0])] = section
        return sections

    def _attributes(self, tree: ast.AST, names: dict[str, str]) -> None:
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=owner, attr=key, ctx=ast.Load()):
                    keys = [key]
                # getattr(model, f"dropout_{kind}") reads every dropout_…
                case ast.Call(
                    func=ast.Name("getattr"), args=[owner, ast.JoinedStr([ast.Constant(str(prefix)), *_]), *_]
                ):
                    keys = [key for key in self.keys() if key.startswith(prefix)]
                case _:
                    continue
            name = ast.unparse(owner)
            last = name.split(".")[-1].lstrip("_")
            if section := names.get(name, last if last in self.sections else None):
                self.found.update((section, key) for key in keys)

    def keys(self) -> set[str]:
        return {field.name for kind in self.sections.values() for field in dataclasses.fields(kind)}


def settings(source: str) -> list[tuple[str, int, bool]]:
    """Returns name, line and whether the line has a comment, for every `section.key = value` of a config's source."""
    commented = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    return [
        (ast.unparse(node.targets[0]), node.lineno, node.lineno in commented)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Attribute)
        and ast.unparse(node.targets[0].value) != "config"
    ]


def setting_problems(source: str) -> list[str]:
    """Returns settings without a comment on their line, and settings that are declared twice."""
    problems, seen = [], set()
    for name, line, commented in settings(source):
        problems += [] if commented else [f"line {line}: {name} has no comment on its line"]
        problems += [f"line {line}: {name} is declared a second time"] if name in seen else []
        seen.add(name)
    return problems


def refuse(problems: Iterable[str]) -> None:
    """Fails with one line for each problem."""
    if lines := "\n".join(problems):
        pytest.fail(lines, pytrace=False)


def check(rule: Callable[[str, str], list[str]], *folders: str) -> None:
    sources = ((module_name(path), (ROOT / path).read_text(encoding="utf-8")) for path in files(*folders))
    refuse(problem for module, source in sources for problem in rule(module, source))


def test_imports_go_one_way() -> None:
    check(import_problems, *PROJECT)


def test_there_is_no_import_cycle() -> None:
    refuse(cycles(import_graph()))


def test_experiments_has_its_commands_and_packages() -> None:
    commands = "analyze doctor evaluate export prepare report search serve sweep train translate".split()
    assert sorted(path.stem for path in (ROOT / "experiments").glob("[a-z]*.py")) == commands
    packages = {path.parent.name for path in (ROOT / "experiments").glob("*/__init__.py")}
    assert packages == {*ORDER}


def test_transformer_has_no_environment_and_no_terminal() -> None:
    check(call_problems, "transformer")


def test_public_names_have_docstrings() -> None:
    check(docstring_problems, "transformer")


def test_files_are_short() -> None:
    check(length_problems, "transformer", "experiments", "launch")


def test_file_names_are_specific() -> None:
    refuse(problem for path in files(*PROJECT, "tests") for problem in name_problems(path))


# Tests of several modules, which stand with those that they test most.
ACROSS = {
    "experiments/runs/test_buckets.py",
    "experiments/runs/test_faults.py",
    "experiments/runs/test_interruption.py",
    "experiments/runs/test_learning.py",
    "experiments/runs/test_packed_run.py",
    "experiments/runs/test_scanned_run.py",
    "experiments/runs/test_uncased_run.py",
    "experiments/serving/test_serving.py",
    "experiments/sweeps/test_real_seeds.py",
    "experiments/test_old_run.py",
    "experiments/test_tour.py",
    "launch/test_pods.py",
    "launch/test_sky.py",
}


def test_tests_of_experiments_and_launch_mirror_the_tree() -> None:
    tests = [path.relative_to("tests") for path in files("tests/experiments", "tests/launch")]
    for path in tests:
        if path.name.startswith("test_") and str(path) not in ACROSS:
            module = ROOT / path.with_name(path.name.removeprefix("test_"))
            if not (module.exists() or module.with_suffix("").is_dir()):
                refuse([f"tests/{path} tests no {module.relative_to(ROOT)}"])


def test_tests_mirror_transformer() -> None:
    sources = {str(path): homes_of_test(path) for path in files("transformer") if path.name != "__init__.py"}
    untested = {path: homes[0] for path, homes in sources.items() if not any((ROOT / home).is_file() for home in homes)}
    refuse(f"{path} is not tested by {home}" for path, home in untested.items() if path not in UNTESTED)
    refuse(f"{path} has a test or does not exist: remove it from UNTESTED" for path in UNTESTED if path not in untested)


SECTIONS: dict[str, type] = {
    field.name: field.type for field in dataclasses.fields(spec.Spec) if isinstance(field.type, type)
}


@pytest.fixture(scope="module")
def reads() -> Reads:
    reads = Reads(SECTIONS)
    own = Path("transformer/spec.py"), Path("transformer/run_spec.py")
    for path in own:
        reads.scan_properties((ROOT / path).read_text(encoding="utf-8"))
    for path in files("transformer", "experiments"):
        if path not in own:
            reads.scan((ROOT / path).read_text(encoding="utf-8"))
    return reads


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_read(section: str, reads: Reads) -> None:
    keys = [field.name for field in dataclasses.fields(SECTIONS[section])]
    refuse(f"{section}.{key} is never read" for key in keys if (section, key) not in reads.found)


def test_every_key_is_declared_once_with_a_comment() -> None:
    source = (ROOT / "configs/base.py").read_text(encoding="utf-8")
    refuse(setting_problems(source))
    declared = {name for name, _, _ in settings(source)}
    assert declared == {
        f"{section}.{field.name}" for section, kind in SECTIONS.items() for field in dataclasses.fields(kind)
    }


# Tests of the rules: each accepts correct input and names the faults of wrong input.


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("transformer.ops.masks", "import jax\nfrom transformer import spec"),
        ("transformer.ops.masks", "from transformer.spec import PAD\nfrom transformer.ops import positions"),
        ("transformer.models.build", "from transformer.models import rnnsearch\nfrom flax import nnx"),
        ("transformer.training.step", "from transformer.models.interface import Seq2Seq\nimport optax"),
        ("transformer.training.step", "from transformer.models import interface"),
        ("transformer.evaluation.loss", "from transformer.decoding.search import beam"),
        ("transformer.data.batches.plan", "import numpy as np\nfrom transformer.spec import DataSpec"),
        ("transformer.interop.marian", "from transformer.models import transformer"),
        ("configs.multi30k", "from ml_collections import ConfigDict\nfrom configs import base"),
        ("experiments.train", "import time\nfrom absl import app\nfrom transformer.models import build"),
        ("launch.plan", "from experiments.runs import system"),
        ("experiments.train", "from experiments.runs import trainer\nfrom experiments.runtime import cli"),
        ("experiments.runs.run", "from experiments.runtime import signals\nfrom experiments.web import markdown"),
        ("experiments.studies.heads", "from experiments.runs.system import System"),
        ("transformer.ops.jaxtime", "import jax_time, timeit"),
    ],
)
def test_an_import_to_the_left_passes(module: str, source: str) -> None:
    assert import_problems(module, source) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("transformer.ops.masks", "from transformer.layers import attention"),
        ("transformer.ops.masks", "def late():\n    import transformer.layers.attention"),
        ("transformer.ops.masks", "from flax import nnx"),
        ("transformer.ops.masks", "from .dropout import Dropout"),
        ("transformer.layers.attention", "from transformer import models"),
        ("transformer.layers.attention", "import transformer"),
        ("transformer.models.transformer", "from transformer.training import step"),
        ("transformer.training.step", "from transformer.models.build import build"),
        ("transformer.training.step", "from transformer.models import transformer"),
        ("transformer.training.step", "from transformer import models"),
        ("transformer.training.step", "from transformer.decoding import search"),
        ("transformer.training.loop", "from transformer.data import batches"),
        ("transformer.training.loop", "from time import monotonic"),
        ("transformer.training.loop", "import datetime as clock"),
        ("transformer.decoding.search", "from transformer.evaluation import bleu"),
        ("transformer.analysis.attention_plots", "import transformer.models.rnnsearch"),
        ("transformer.data.batches.plan", "import jax.numpy as jnp"),
        ("transformer.data.batches.plan", "from transformer.ops import masks"),
        ("transformer.data.batches.plan", "from absl import logging"),
        ("transformer.models.build", "from configs import base"),
        ("transformer.spec", "import numpy"),
        ("transformer.novelty", "import jax"),
        ("configs.multi30k", "from transformer.spec import Spec"),
        ("configs.multi30k", "import jax"),
        ("experiments.train", "from launch import plan"),
        ("experiments.train", "from experiments.evaluate import evaluate"),
        ("experiments.train", "from experiments.benchmark import works"),
        ("experiments.runtime.cli", "from experiments.runs import workdir"),
        ("experiments.web.page", "from experiments.runs import workdir"),
        ("experiments.runs.trainer", "from experiments.sweeps import populations"),
        ("experiments.sweeps.report", "from experiments.studies import study"),
        ("experiments.sweeps.scheduler", "from experiments import train"),
        ("launch.tpu", "from launch import plan"),
    ],
)
def test_an_import_to_the_right_is_found(module: str, source: str) -> None:
    assert len(import_problems(module, source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['A']",
        "import os\nos.getenv('A')",
        "from os import environ",
        "print(1)",
        "show = print",
        "import importlib\nimportlib.import_module('jax')",
    ],
)
def test_a_forbidden_use_is_found(source: str) -> None:
    assert len(call_problems("m", source)) == 1
    assert call_problems("m", "import os\nos.path.join('print', 'a')\nself.print()") == []


def test_a_missing_docstring_is_found() -> None:
    source = (
        '"""Module."""\nclass A:\n    """A."""\n    def b(self): ...\n    def _c(self): ...\ndef d():\n    def e(): ...'
    )
    assert docstring_problems("m", source) == ["m.A.b: no docstring", "m.d: no docstring"]
    assert docstring_problems("m", "") == ["m: no docstring"]


def test_a_long_file_is_found() -> None:
    assert length_problems("m", "\n" * MAX_LINES) == []
    assert length_problems("m", "\n" * (MAX_LINES + 3)) == [
        f"m: {MAX_LINES + 3} lines, 3 more than {MAX_LINES}: split it"
    ]


@pytest.mark.parametrize(
    "path", ["transformer/utils.py", "tests/helpers.py", "transformer/common/x.py", "experiments/_misc.py"]
)
def test_a_vague_file_name_is_found(path: str) -> None:
    assert len(name_problems(Path(path))) == 1
    assert name_problems(Path("transformer/ops/commons_of_words.py")) == []


def test_where_a_test_may_stand() -> None:
    grammar = [
        "tests/data/grammar/lexicon/test_verbs.py",
        "tests/data/grammar/test_lexicon.py",
        "tests/data/test_grammar.py",
    ]
    assert list(map(str, homes_of_test(Path("transformer/data/grammar/lexicon/verbs.py")))) == grammar
    assert list(map(str, homes_of_test(Path("transformer/ops/masks.py")))) == ["tests/ops/test_masks.py"]
    assert list(map(str, homes_of_test(Path("transformer/spec.py")))) == ["tests/test_spec.py"]


def test_an_unread_key_is_found() -> None:
    source = """
def build(spec: ModelSpec, other: spec.TrainSpec, count: int):
    def inner():
        return spec.heads
    spec.d_ff = 1
    return other.steps, count.d_model

def run(spec):
    data = spec.data
    return data.path, spec.decode.top_k, spec.norm

class Kept:
    decode: DecodeSpec
    def __init__(self, spec: ModelSpec):
        self.settings = spec
    def __call__(self):
        return self.settings.dtype, self.top_p, self.spec.d_v, self.decode.seed, getattr(train, f"warmup_{what}")
"""
    reads = Reads(SECTIONS)
    reads.scan(source)
    expected = {("model", "heads"), ("train", "steps"), ("data", "path"), ("decode", "top_k")}
    kept = {("model", "dtype"), ("decode", "seed"), ("train", "warmup_steps")}
    fields = {(section, field.name) for section, kind in SECTIONS.items() for field in dataclasses.fields(kind)}
    assert reads.found & fields == expected | kept


def test_of_the_spec_only_properties_count() -> None:
    reads = Reads(SECTIONS)
    reads.scan_properties(
        "class ModelSpec:\n"
        "    def __post_init__(self): self.heads\n"
        "    @property\n"
        "    def key_size(self): return self.d_k\n"
    )
    assert reads.found == {("model", "d_k")}


def test_an_uncommented_and_a_repeated_setting_are_found() -> None:
    source = (
        "config = C()\nmodel = config.model = C()\nmodel.heads = 8  # heads\nmodel.d_k = 1\nmodel.heads = 4  # again\n"
    )
    assert setting_problems(source) == [
        "line 4: model.d_k has no comment on its line",
        "line 5: model.heads is declared a second time",
    ]


def test_a_cycle_is_found() -> None:
    assert cycles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}) == ["b → c → b", "c → b → c"]
    assert cycles({"a": ["b", "c"], "b": ["c"], "c": []}) == []
