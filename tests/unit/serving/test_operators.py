"""Operators that the installed runtime has not are refused by name, before the file is loaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from bighead.inference.loading import LoadFailed, load
from bighead.inference.outline import check_file, newest_opset
from tests.unit.serving.models import FLOAT, stored, times_record

ML = "ai.onnx.ml"
OURS = "org.example.ops"


def doubled(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    opsets: Mapping[str, int],
    functions: Sequence[onnx.FunctionProto] = (),
) -> Path:
    """A model of these nodes from x to y, in a file."""
    graph = helper.make_graph(
        nodes,
        "doubled",
        [helper.make_tensor_value_info("x", FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", FLOAT, [None, 1])],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9, functions=functions)
    path = folder / "doubled.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def refusal(folder: Path, path: Path) -> str:
    with pytest.raises(LoadFailed) as failed:
        load("m", 1, times_record(stored(folder, path), 2.0))
    assert failed.value.step == "verify"
    return str(failed.value)


ADD = helper.make_node("Add", ["x", "x"], ["y"])
DOUBLE = helper.make_node("Double", ["x"], ["y"], domain=OURS)


def double(opset: int = 18) -> onnx.FunctionProto:
    return helper.make_function(OURS, "Double", ["x"], ["y"], [ADD], [helper.make_opsetid("", opset)])


@pytest.mark.parametrize("domain", ["", ML])
def test_the_newest_opset_that_the_runtime_has_loads_and_the_next_is_refused(tmp_path: Path, domain: str) -> None:
    newest, name = newest_opset(domain), domain or "ai.onnx"
    assert newest > 1
    path = doubled(tmp_path, [ADD], {"": 18, domain: newest})
    assert load("m", 1, times_record(stored(tmp_path, path), 2.0))[0].version == 1
    for version in (newest + 1, 999, 0, -1):
        why = refusal(tmp_path, doubled(tmp_path, [ADD], {"": 18, domain: version}))
        assert f"it needs opset {version} of {name}; ONNX Runtime" in why
        assert f"supports 1 to {newest}" in why


def test_an_operator_of_an_unknown_domain_is_named(tmp_path: Path) -> None:
    why = refusal(tmp_path, doubled(tmp_path, [DOUBLE], {"": 18, OURS: 1}))
    assert "operator 'Double' is of the domain 'org.example.ops', which is not known here" in why


def test_it_is_found_wherever_it_is_nested(tmp_path: Path) -> None:
    branch = helper.make_graph([DOUBLE], "branch", [], [helper.make_tensor_value_info("y", FLOAT, [None, 1])])
    nodes = [
        helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True])),
        helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
    ]
    assert "operator 'Double'" in refusal(tmp_path, doubled(tmp_path, nodes, {"": 18, OURS: 1}))
    function = helper.make_function(OURS, "Outer", ["x"], ["y"], [DOUBLE], [helper.make_opsetid(OURS, 1)])
    outer = helper.make_node("Outer", ["x"], ["y"], domain=OURS)
    assert "operator 'Double'" in refusal(tmp_path, doubled(tmp_path, [outer], {"": 18, OURS: 1}, [function]))


def test_an_operator_that_the_model_defines_itself_is_known(tmp_path: Path) -> None:
    path = doubled(tmp_path, [DOUBLE], {"": 18, OURS: 1}, [double()])
    assert load("m", 1, times_record(stored(tmp_path, path), 2.0))[0].version == 1
    assert "it needs opset 999 of ai.onnx" in refusal(
        tmp_path, doubled(tmp_path, [DOUBLE], {"": 18, OURS: 1}, [double(999)])
    )


def test_a_domain_that_no_operator_uses_is_left_alone(tmp_path: Path) -> None:
    """Exporters leave such imports behind."""
    check_file(doubled(tmp_path, [ADD], {"": 18, OURS: 7, ML: 3}))
