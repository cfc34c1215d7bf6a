"""Every refusal of a file: its code, what it is about, and what would work. `docs/refusals.md` is made from this table.

E2xx are about model files, E3xx about data files, E6xx about limits and about files as such.
"""

from dataclasses import dataclass

from pruning_core.errors import DataRefused, FileRefused, ModelRefused

TRUST = "or, if you trust who made it, open it on the command line with --trust-file PATH"
SAVE_WEIGHTS = "save `model.state_dict()` with torch.save, or a .safetensors file"
SAVE_ARRAYS = "save it with numpy.savez(file, x=inputs, y=labels)"
SEPARATE = "split the file or raise the limit in the settings of the host"


@dataclass(frozen=True)
class Refusal:
    """One kind of refusal."""

    code: str
    title: str  # what is refused, for the page of codes
    remedy: str  # ends the sentence that the user reads


_MODELS = (
    ("E201", "A file of no known model format", "use .onnx, .safetensors or a state dict saved as .pt"),
    ("E202", "A model file that is damaged or cut short", "export or download it again"),
    ("E203", "A PyTorch file that holds more than tensors", f"{SAVE_WEIGHTS}, {TRUST}"),
    ("E204", "A bare Python pickle", SAVE_WEIGHTS),
    ("E205", "A TorchScript file", f"export the model to ONNX, {TRUST}"),
    ("E206", "An exported program (.pt2)", f"export the model to ONNX, {TRUST}"),
    ("E207", "A PyTorch file of an unusual kind", SAVE_WEIGHTS),
    ("E210", "A safetensors header that is wrong", "save it again with safetensors.torch.save_file"),
    ("E211", "A weight whose shape does not fit the bytes of the file", "export the model again"),
    ("E220", "A file that is not an ONNX model", "export the model again, as one .onnx file"),
    ("E221", "An ONNX model with a loop", "export the model with its loops unrolled"),
    ("E222", "An ONNX model whose weights are in a second file", f"save one file with its weights inside, {TRUST}"),
    ("E223", "An ONNX model with sparse weights", "export it with dense weights"),
    ("E224", "An ONNX operator outside of ONNX itself", "export the model with standard operators only"),
    ("E225", "ONNX functions that expand without end", "inline them first with onnx.inliner.inline_local_functions"),
    ("E226", "An ONNX file with training graphs", "export the model for inference"),
    ("E227", "An ONNX graph that uses one name twice", "export the model again"),
    ("E228", "An ONNX operator that makes a huge tensor", "export the model with smaller constants"),
    ("E229", "An ONNX operator set that is not known", "export the model with an opset that this version knows"),
    ("E230", "An ONNX operator that the importer lacks", "export the model with other operators"),
    ("E231", "A model whose answers differ from those of ONNX Runtime", "report it, with the file if you can"),
    ("E232", "An ONNX model that contradicts itself", "check it with onnx.checker.check_model(path, full_check=True)"),
    ("E233", "A model whose input shape is open", "name it, such as 3x224x224"),
    ("E234", "A model that cannot be traced", "export it to ONNX, or leave out what depends on the data"),
    ("E240", "Weights without an architecture", "name the architecture that they belong to"),
    ("E241", "Weights whose names do not match the architecture", "name the right architecture, or accept these names"),
    ("E242", "Weights whose shapes do not match the architecture", "name the architecture that they were trained in"),
    ("E243", "A file without any weights", SAVE_WEIGHTS),
    ("E244", "Weights that are NaN or infinite", "mend or train the model again"),
    ("E246", "A model without anything to prune", "use a model with linear or convolutional layers"),
    ("E248", "A file that runs code and is not trusted", TRUST.removeprefix("or, ")),
    ("E249", "A function of a module that is not trusted", "name it on the command line, or give trusted=True"),
    ("E250", "A model that does not run", "check that it takes inputs of this shape"),
    ("E251", "A model that answers NaN or infinite numbers", "check its weights and its normalisation"),
)
_DATA = (
    ("E301", "A file of no known data format", "use .npz, .npy, .csv, .txt or a zip of images"),
    ("E302", "A data file that is damaged or cut short", "save or download it again"),
    ("E303", "Arrays of Python objects", SAVE_ARRAYS),
    ("E304", "An archive without inputs", SAVE_ARRAYS),
    ("E305", "Inputs that are not numbers", "give numbers: whole numbers or floats"),
    ("E306", "Data without any example", "give at least one example"),
    ("E307", "Inputs that are NaN or infinite", "give finite numbers"),
    ("E308", "Targets of another length or shape than the inputs", "give one class number for each example"),
    ("E309", "Targets that are not class numbers", "give whole numbers from 0"),
    ("E310", "Targets outside of the model's classes", "number the classes as the model does"),
    ("E311", "Examples of another shape or type than the model takes", "give examples of the model's shape"),
    ("E312", "Tokens outside of the model's vocabulary", "use the tokens that the model was trained with"),
    ("E313", "A picture that cannot be read", "leave it out or save it again as PNG or JPEG"),
    (
        "E314",
        "A zip without pictures in folders of classes",
        "put the pictures of each class into one folder",
    ),
    (
        "E315",
        "A table that cannot be read as numbers",
        "give a header line, numbers, and name the column",
    ),
    ("E316", "A text that is not UTF-8", "save it as UTF-8"),
    ("E317", "An array whose header does not fit its bytes", SAVE_ARRAYS),
)
_FILES = (
    ("E601", "A file larger than the limit", SEPARATE),
    ("E602", "An empty file", "choose the file again"),
    ("E603", "An archive with an unsafe path or a link", "pack plain files under plain names"),
    ("E604", "An archive that holds one name twice", "pack it again"),
    ("E605", "An encrypted archive", "pack it without a password"),
    ("E606", "An archive that expands too much", SEPARATE),
    ("E607", "An archive with too many files", SEPARATE),
    ("E608", "An archive packed in an unusual way", "pack it again, stored or deflated"),
    ("E610", "Too many operators, tensors or names", SEPARATE),
    ("E611", "Something nested too deep", "export it in a flatter form"),
    ("E612", "More numbers than the limit", SEPARATE),
    ("E613", "A picture with too many pixels", "make it smaller"),
    ("E614", "A file that took too long to read", SEPARATE),
    ("E615", "A file that took too much memory to read", SEPARATE),
    ("E616", "A file that ended the process that read it", "report it, with the file if you can"),
    ("E617", "A file that could not be read, for a reason not foreseen", "check it with the tool that wrote it"),
    ("E618", "A name or header that is too long", "use shorter names"),
    ("E619", "Something that is not a plain file", "choose a plain file"),
    ("E620", "A folder of uploads that is full", "delete an upload, or ask the host for more"),
    ("E621", "An upload that is not there, or not yours", "upload the file again"),
    ("E622", "Too many uploads or jobs at once", "wait until one of yours has ended"),
    ("E623", "Something that this server does not offer", "choose a sample or upload the file"),
    ("E624", "Too many pages open at once", "close one that you do not need, or try again later"),
)

REFUSALS: dict[str, Refusal] = {row[0]: Refusal(*row) for row in (*_MODELS, *_DATA, *_FILES)}


def refused(code: str, what: str) -> FileRefused:
    """Return the error to raise: `what` is wrong and where, ended by what would work."""
    return told(code, f"{what}; {REFUSALS[code].remedy}")


def told(code: str, sentence: str) -> FileRefused:
    """Return the error of a sentence that is complete."""
    return {"E2": ModelRefused, "E3": DataRefused}.get(code[:2], FileRefused)(code, sentence)
