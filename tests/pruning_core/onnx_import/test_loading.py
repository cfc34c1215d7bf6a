"""ONNX files as models: shapes that the file leaves open, several inputs, tokens, and what is refused by name."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import pruning_core as pc
from pruning_core.errors import PruningError
from pruning_core.loaders.trusted import trust
from pruning_core.onnx_import import import_model
from pruning_core.onnx_import.inputs import entries_of
from tests.pruning_core.onnx_import.exported import saved
from tests.pruning_core.onnx_import.graphs import model_of
from tests.pruning_core.onnx_import.test_operators import real, whole

DENSE = {"layer/kernel": real(4, 5), "layer/bias": real(5)}
PRODUCT = [
    helper.make_node("MatMul", ["x", "layer/kernel"], ["y"]),
    helper.make_node("Add", ["y", "layer/bias"], ["z"]),
]


def test_a_dense_layer_has_its_bias_and_its_name(tmp_path):
    """A product and the sum that follows are one layer of torch, stored (out, in)."""
    model = pc.load_model(saved(model_of(PRODUCT, {"x": ["batch", 4]}, ["z"], DENSE), tmp_path))
    (layer,) = model.graph.layers
    assert (layer.name, layer.bias, layer.weight_shape) == ("layer", "layer.bias", (5, 4))
    assert torch.equal(model.graph.weight("layer"), torch.from_numpy(DENSE["layer/kernel"].T))
    assert "answers as ONNX Runtime does" in model.note


def test_weights_may_be_constant_nodes(tmp_path):
    """As tf2onnx and Paddle write them."""
    model = pc.load_model(saved(model_of(PRODUCT, {"x": ["batch", 4]}, ["z"], DENSE, as_nodes=True), tmp_path))
    assert [layer.name for layer in model.graph.layers] == ["layer"]


@pytest.fixture(scope="module")
def with_channels_last():
    """Return a network as tf2onnx writes it: images (batch, height, width, channels), weights as Constant nodes."""
    constants = {
        "StatefulPartitionedCall/net/conv1/Conv2D/ReadVariableOp:0": real(8, 3, 3, 3),
        "StatefulPartitionedCall/net/bn/scale": np.abs(real(8)) + 0.5,
        "StatefulPartitionedCall/net/bn/offset": real(8),
        "StatefulPartitionedCall/net/bn/mean": real(8),
        "StatefulPartitionedCall/net/bn/variance": np.abs(real(8)) + 0.5,
        "StatefulPartitionedCall/net/dense/MatMul/ReadVariableOp:0": real(8 * 4 * 4, 5),
        "StatefulPartitionedCall/net/dense/BiasAdd/ReadVariableOp:0": real(5),
        "shape": whole(-1, 8 * 4 * 4),
    }
    conv, *norm, matrix, bias, shape = constants
    nodes = [
        helper.make_node("Transpose", ["x"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", conv], ["a"], name="net/conv1/Conv2D", auto_pad="SAME_UPPER", strides=[2, 2]),
        helper.make_node("BatchNormalization", ["a", *norm], ["b"], name="net/bn/FusedBatchNormV3", epsilon=1e-3),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Transpose", ["c"], ["nhwc"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["nhwc", shape], ["flat"]),
        helper.make_node("MatMul", ["flat", matrix], ["d"], name="net/dense/MatMul"),
        helper.make_node("Add", ["d", bias], ["e"]),
        helper.make_node("Softmax", ["e"], ["y"]),
    ]
    return lambda batch: model_of(nodes, {"x": [batch, 8, 8, 3]}, ["y"], constants, opset=15, as_nodes=True)


@pytest.mark.parametrize("batch", ["unk__1", 1, 2])
def test_channels_last_prune_and_slim(tmp_path, with_channels_last, batch):
    """Channels go through transposes and the flatten, whatever batch the file fixes."""
    model = pc.load_model(saved(with_channels_last(batch), tmp_path))
    assert [layer.name for layer in model.graph.layers] == ["net.conv1", "net.dense"]
    assert [layer.kind for layer in model.graph.layers] == ["conv2d", "linear"]
    plan, _ = pc.uniform_plan(model, pc.LayerPlan(sparsity=0.5, granularity="output_channel"))
    slimmed = pc.prune(model, plan).slimmed
    assert dict(slimmed.graph.named_parameters())["net.conv1.weight"].shape == (4, 3, 3, 3)
    assert dict(slimmed.graph.named_parameters())["net.dense.weight"].shape == (5, 4 * 4 * 4)


def test_an_imported_model_is_built_again_without_this_package(tmp_path, with_channels_last):
    """`load_pruned.py` and the weights beside it give the same answers."""
    model = pc.load_model(saved(with_channels_last("batch"), tmp_path))
    plan, _ = pc.uniform_plan(model, pc.LayerPlan(sparsity=0.5))
    folder = tmp_path / "export"
    written = {path.name for path in pc.export(model, plan, folder)}
    assert {"load_pruned.py", "masked.safetensors", "model.onnx"} <= written
    space: dict[str, object] = {"__name__": "load_pruned", "__file__": str(folder / "load_pruned.py")}
    exec((folder / "load_pruned.py").read_text("utf-8"), space)
    x = torch.randn(3, 8, 8, 3)
    with torch.inference_mode():
        torch.testing.assert_close(space["load"]()(x), pc.apply(plan, model)(x))


def two_inputs(**shapes):
    """Return a model of an image and a row of numbers."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Concat", ["flat", "row"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "matrix"], ["y"]),
    ]
    return model_of(nodes, shapes, ["y"], {"matrix": real(8, 4)})


def test_open_shapes_are_asked_for_by_name(tmp_path):
    """What the file leaves open stands behind the name, one shape for each input."""
    path = saved(two_inputs(image=["n", 3, "h", "w"], row=["n", 5]), tmp_path)
    with pytest.raises(PruningError, match=r"input 'image' is open in the file \(3x\?x\?.*\+input@3x8x8,5"):
        pc.load_model(path)
    with pytest.raises(PruningError, match="has the shape 3x\\?x\\? without the batch, not 4x8x8"):
        pc.load_model(f"{path}+input@4x8x8,5")
    with pytest.raises(PruningError, match="gives 1 shapes, the model has 2 inputs \\(image, row\\)"):
        pc.load_model(f"{path}+input@3x8x8")
    model = pc.load_model(f"{path}+input@3x8x8,5")
    assert [tuple(example.shape[1:]) for example in model.example_inputs] == [(3, 8, 8), (5,)]


def test_whole_numbers_are_tokens_below_the_rows_of_their_table(tmp_path):
    """Examples are int64 whatever whole numbers the file wants, and no row is asked for that is not there."""
    nodes = [helper.make_node("Gather", ["table", "ids"], ["rows"]), helper.make_node("MatMul", ["rows", "w"], ["y"])]
    proto = model_of(nodes, {"ids": np.zeros((1, 6), np.int32)}, ["y"], {"table": real(9, 4), "w": real(4, 3)})
    assert entries_of(proto)[0].below == 9
    model = pc.load_model(saved(proto, tmp_path))
    assert model.example_inputs[0].dtype == torch.int64
    assert [layer.kind for layer in model.graph.layers] == ["embedding", "linear"]


def test_quantised_weights_become_real_numbers(tmp_path):
    """A weight in steps is a layer like others, and the note says so."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["real"], axis=0),
        helper.make_node("Gemm", ["x", "real"], ["y"], transB=1),
    ]
    constants = {"w": np.array([[1, -3], [2, 9], [4, 0]], np.int8), "scale": np.float32([0.5, 1, 2])}
    proto = model_of(nodes, {"x": ["n", 2]}, ["y"], {**constants, "zero": np.zeros(3, np.int8)})
    model = pc.load_model(saved(proto, tmp_path))
    assert model.graph.weight("w").tolist() == [[0.5, -1.5], [2, 9], [8, 0]]
    assert "stored as whole numbers and dequantised: 1 of its tensors" in model.note


def test_a_branch_that_shapes_decide_is_taken():
    """Torch's exporter writes a squeeze as If: the sizes say which branch it is."""
    inner = [helper.make_graph([helper.make_node(op, ["x"], [op])], op, [], [_out(op)]) for op in ("Relu", "Neg")]
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "place"], ["size"]),
        helper.make_node("Equal", ["size", "three"], ["same"]),
        helper.make_node("If", ["same"], ["y"], then_branch=inner[0], else_branch=inner[1]),
    ]
    x = torch.randn(2, 3)
    proto = model_of(nodes, {"x": ["n", 3]}, ["y"], {"place": np.array(1), "three": np.array(3)})
    assert torch.equal(import_model(proto, [x]).module(x), x.relu())


def _out(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def refused(tmp_path, proto, match):
    """Assert that loading is refused with this sentence."""
    with pytest.raises(PruningError, match=match):
        pc.load_model(saved(proto, tmp_path))


def test_what_cannot_be_imported_is_named(tmp_path):
    """The operator, its node, and why."""
    shape = {"x": ["n", 4]}
    unknown = helper.make_node("Fancy", ["x"], ["y"], name="deep/inside", domain="my.own")
    refused(tmp_path, model_of([unknown], shape, ["y"]), r"operator my.own.Fancy \(node 'deep/inside'\).*not supported")
    moving = [helper.make_node("NonZero", ["x"], ["i"], name="nz"), helper.make_node("Cast", ["i"], ["y"], to=1)]
    refused(tmp_path, model_of(moving, shape, ["y"]), r"NonZero \(node 'nz'\).*depends on the values of the input")
    random = helper.make_node("RandomNormalLike", ["x"], ["y"], name="r")
    refused(tmp_path, model_of([random], shape, ["y"]), r"RandomNormalLike \(node 'r'\).*no two runs agree")
    huge = [helper.make_node("ConstantOfShape", ["size"], ["h"], name="h"), helper.make_node("Add", ["x", "h"], ["y"])]
    refused(
        tmp_path, model_of(huge, shape, ["y"], {"size": whole(10**6, 10**6)}), "tensor of 1,000,000,000,000 elements"
    )


def test_files_that_are_not_what_they_should_be(tmp_path):
    """No ONNX, an opset of the future, weights elsewhere, functions without end, one number as input."""
    (tmp_path / "text.onnx").write_bytes(b"no model at all")
    with pytest.raises(PruningError, match="not an ONNX file"):
        pc.load_model(str(tmp_path / "text.onnx"))
    refused(tmp_path, model_of(PRODUCT, {"x": ["n", 4]}, ["z"], DENSE, opset=5), "opset 5; opsets 6 to")
    away = model_of(PRODUCT, {"x": ["n", 4]}, ["z"], DENSE)
    away.graph.initializer[0].data_location = TensorProto.EXTERNAL
    refused(tmp_path, away, "the weight 'layer/kernel' stands in another file")
    refused(
        tmp_path, model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": []}, ["y"]), "one number without a batch"
    )
    calls = [helper.make_node("f", ["x"], ["y"], domain="own")]
    endless = model_of(calls, {"x": ["n", 4]}, ["y"])
    function = helper.make_function("own", "f", ["x"], ["y"], calls, [helper.make_opsetid("own", 1)])
    endless.functions.append(function)
    refused(tmp_path, endless, "calls itself")


def test_weights_in_a_second_file_are_read_where_that_is_trusted(tmp_path, monkeypatch):
    """And only from the folder of the model itself."""
    monkeypatch.setenv("PRUNING_EXPLORER_TRUSTED", "[]")
    proto = model_of(PRODUCT, {"x": ["n", 4]}, ["z"], DENSE)
    path = str(tmp_path / "two.onnx")
    onnx.save_model(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(PruningError, match="stands in another file"):
        pc.load_model(path)
    trust(path)
    assert torch.equal(pc.load_model(path).graph.weight("layer"), torch.from_numpy(DENSE["layer/kernel"].T))
    outside = onnx.load(path, load_external_data=False)
    for tensor in outside.graph.initializer:
        tensor.external_data[0].value = "../weights.bin"
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "two.onnx").write_bytes(outside.SerializeToString())
    trust(str(tmp_path / "inner" / "two.onnx"))
    with pytest.raises(PruningError, match="in a second file cannot be read"):
        pc.load_model(str(tmp_path / "inner" / "two.onnx"))


def test_functions_of_the_file_are_written_out(tmp_path):
    """As torch's newer exporter and others use them."""
    body = [helper.make_node("Mul", ["a", "a"], ["b"])]
    function = helper.make_function("own", "square", ["a"], ["b"], body, [helper.make_opsetid("", 21)])
    nodes = [helper.make_node("square", ["x"], ["s"], domain="own"), helper.make_node("MatMul", ["s", "w"], ["y"])]
    proto = model_of(nodes, {"x": ["n", 4]}, ["y"], {"w": real(4, 3)})
    proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("own", 1))
    assert len(pc.load_model(saved(proto, tmp_path)).graph.layers) == 1


def test_a_batch_that_is_lost_is_refused_by_node(tmp_path):
    """A fixed batch that an operator takes away cannot be opened."""
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["row"]),
        helper.make_node("Gather", ["row", "places"], ["y"], name="strided"),
    ]
    constants = {"flat": whole(-1), "places": whole(*range(4)).reshape(1, 4)}
    refused(tmp_path, model_of(nodes, {"x": [1, 4]}, ["y"], constants), r"\(node 'strided'\).*a batch of 1 is written")


def test_answers_that_differ_are_refused(tmp_path, monkeypatch):
    """Whatever the reason: nothing is measured on a model that is another one."""
    from pruning_core.onnx_import.table import OPERATORS, Operator

    monkeypatch.setitem(OPERATORS, "Relu", Operator(lambda node, x: torch.tanh(x)))
    proto = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": ["n", 4]}, ["y"])
    refused(tmp_path, proto, "does not answer as ONNX Runtime does: the largest difference is")


def test_names_of_layers(tmp_path):
    """Generated names give way to those of the node or of the module that it came from."""
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_12"], ["a"], name="/encoder/encoder.0/attention/MatMul"),
        helper.make_node("MatMul", ["a", "val_3"], ["b"], name="node_MatMul_7"),
        helper.make_node("MatMul", ["b", "val_4"], ["y"], name="node_MatMul_8"),
    ]
    key, scopes = "pkg.torch.onnx.name_scopes", "['', 'head', 'head.1', 'linear']"
    nodes[1].metadata_props.append(onnx.StringStringEntryProto(key=key, value=scopes))
    constants = {"onnx::MatMul_12": real(4, 4), "val_3": real(4, 4), "val_4": real(4, 4)}
    model = pc.load_model(saved(model_of(nodes, {"x": ["n", 4]}, ["y"], constants), tmp_path))
    assert [layer.name for layer in model.graph.layers] == ["encoder.0.attention", "head.1", "linear"]
