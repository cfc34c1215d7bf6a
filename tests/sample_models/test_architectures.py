"""Each architecture file stands alone, has one builder, and traces with any batch size."""

import ast
from pathlib import Path

import pytest
import torch

import sample_models
from sample_models import SAMPLES, build, load
from sample_models.registry import load_weights


def imported_roots(source: str) -> set[str]:
    """Top-level packages that a source text imports; a relative import counts as "."."""
    roots = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            roots.add("." if node.level else str(node.module).split(".")[0])
    return roots


def test_imported_roots_sees_every_form():
    assert imported_roots("import a.b\nfrom c.d import e\nfrom .f import g") == {"a", "c", "."}


def test_source_text_alone_rebuilds_the_trained_model(sample_name):
    sample = SAMPLES[sample_name]
    source = sample.source_path.read_text(encoding="utf-8")
    assert imported_roots(source) == {"torch"}
    namespace: dict = {"__name__": "exported"}
    exec(compile(source, "exported.py", "exec"), namespace)
    rebuilt = load_weights(namespace[sample_name](), sample.weights_path)
    images = torch.randn(4, 1, 28, 28)
    assert torch.equal(rebuilt(images), load(sample_name)(images))


def test_one_public_builder_per_file(sample_name):
    tree = ast.parse(SAMPLES[sample_name].source_path.read_text(encoding="utf-8"))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert functions == [sample_name]


def test_exports_with_a_dynamic_batch_and_without_in_place_operators(sample_name):
    model = load(sample_name)
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(model, (torch.randn(3, 1, 28, 28),), dynamic_shapes=dynamic)
    operators = [node.target.name() for node in program.graph.nodes if isinstance(node.target, torch._ops.OpOverload)]
    assert operators
    assert [name for name in operators if name.split(".")[0].endswith("_")] == []
    images = torch.randn(7, 1, 28, 28)
    torch.testing.assert_close(program.module()(images), model(images))


def test_answers_do_not_depend_on_the_rest_of_the_batch(sample_name):
    model = load(sample_name)
    images = torch.randn(6, 1, 28, 28)
    torch.testing.assert_close(model(images)[2:3], model(images[2:3]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("path", sorted(Path(sample_models.__file__).parent.glob("*.py")), ids=lambda path: path.name)
def test_package_imports_neither_core_nor_app(path):
    assert imported_roots(path.read_text(encoding="utf-8")).isdisjoint({"pruning_core", "explorer", "."})


def test_two_builds_share_nothing(sample_name):
    first, second = build(sample_name), build(sample_name)
    pointers = {p.data_ptr() for p in first.parameters()}
    assert pointers.isdisjoint(p.data_ptr() for p in second.parameters())
