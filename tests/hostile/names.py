"""Names that are too long, there twice, or written to mislead; those that are merely ugly are opened, and escaped."""

from pathlib import Path

from onnx import helper

from tests.hostile.case import Case, onnx, relu, safetensors, tensor, zipped

KIND = "names"
LONG = "a" * 5000
UGLY = ("<img src=x onerror=alert(1)>", "\u202egnp.exe", "a\nb", "=1+1", "../../etc/passwd", "Аdmin", "x" * 1025)


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    four = bytes(4)
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    made = {
        "weight of 5,000 letters": ("E618", "evil.onnx", onnx([relu()], [tensor(LONG, [1], four)])),
        "node of 5,000 letters": ("E618", "evil.onnx", onnx([relu(name=LONG)])),
        "output of 5,000 letters": ("E618", "evil.onnx", onnx([relu("x", LONG)])),
        "operator of 5,000 letters": ("E618", "evil.onnx", onnx([helper.make_node(LONG, ["x"], ["y"])])),
        "domain of 5,000 letters": ("E618", "evil.onnx", onnx([helper.make_node("R", ["x"], ["y"], domain=LONG)])),
        "input of 5,000 letters": ("E618", "evil.onnx", onnx([relu(LONG)])),
        "attribute of 5,000 letters": ("E618", "evil.onnx", onnx([relu(**{LONG: 1})])),
        "tensor of 5,000 letters": ("E618", "evil.safetensors", safetensors({LONG: entry}, four)),
        "array of 5,000 letters": ("E618", "evil.npz", zipped({LONG: four})),
        "two weights of one name": ("E227", "evil.onnx", onnx([relu()], [tensor("w", [1], four)] * 2)),
        "two weights without a name": ("E227", "evil.onnx", onnx([relu()], [tensor("", [1], four)] * 2)),
        "two nodes of one name": ("E227", "evil.onnx", onnx([relu("x", "t", name="a"), relu("t", "y", name="a")])),
        "two outputs of one name": ("E227", "evil.onnx", onnx([relu(), relu()])),
        "one node, one output twice": ("E227", "evil.onnx", onnx([helper.make_node("Split", ["x"], ["y", "y"])])),
        "300,000 names": ("E610", "evil.onnx", onnx([helper.make_node("Sum", ["x"] * 300_000, ["y"])])),
        "operator in no letters": ("E224", "evil.onnx", onnx([helper.make_node("\u202e", ["x"], ["y"], domain="\0")])),
        "domain like ONNX": ("E224", "evil.onnx", onnx([helper.make_node("Relu", ["x"], ["y"], domain="ai.оnnx")])),
        "operator set of the future": ("E229", "evil.onnx", onnx([relu()], opset=999)),
        "operator set 0": ("E229", "evil.onnx", onnx([relu()], opset=0)),
        "operator that is no text": ("E202", "evil.onnx", onnx([relu()]).replace(b"Relu", b"\xff\xfelu")),
        "weight that is no text": (
            "E202",
            "evil.onnx",
            onnx([relu()], [tensor("wxyz", [1], four)]).replace(b"wxyz", b"\xff" * 4),
        ),
        "no operator set": ("E229", "evil.onnx", _without_opset()),
    }
    return [
        Case(KIND, name, file, lambda content=content: content, code) for name, (code, file, content) in made.items()
    ]


def _without_opset() -> bytes:
    from onnx import ModelProto

    content = ModelProto.FromString(onnx([relu()]))
    del content.opset_import[:]
    return content.SerializeToString()
