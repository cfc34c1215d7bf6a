"""The options of the command line: their types, and what `--help` says of them."""

from typing import Annotated, Literal

import typer

MODEL_HELP = (
    "A sample's name, file.onnx, weights in a .safetensors or .pt file, torchvision:NAME, timm:NAME, hf:NAME, or "
    "package.module:factory."
)
DATA_HELP = "A sample's name, a file or folder, or package.module:factory; see `list data`. A sample model has its own."
ARCHITECTURE_HELP = (
    "What the weights in a file belong to: a sample's name, torchvision:NAME, timm:NAME, hf:NAME, or "
    "package.module:factory."
)
ACCEPT_HELP = "A weight at which file and architecture may differ; repeatable, and every such weight is named."
INPUT_HELP = "Shape of an example without the batch, where the model does not say it; int64:16 is 16 tokens."
TRUST_HELP = "A file that may run code when it is opened: .pt2, TorchScript, a whole pickled module; repeatable."
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)]
DataName = Annotated[str | None, typer.Option("--data", metavar="DATA", help=DATA_HELP)]
TargetColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The column of a table that is to be told.")]
PRESET_HELP = "Scale, mean and std by name: imagenet, cifar10, mnist, zero_to_one, minus_one_to_one, raw, model ..."
Preset = Annotated[str | None, typer.Option(metavar="NAME", help=PRESET_HELP)]
RESIZE_HELP = "Bring pictures to the model's size: crop keeps their proportions and the centre."
Resize = Annotated[Literal["none", "crop", "stretch"] | None, typer.Option(help=RESIZE_HELP)]
ChannelOrder = Annotated[Literal["rgb", "bgr"] | None, typer.Option(help="Order of the colours that the model reads.")]
Architecture = Annotated[str | None, typer.Option(metavar="NAME", help=ARCHITECTURE_HELP)]
AcceptKey = Annotated[list[str] | None, typer.Option(metavar="KEY", help=ACCEPT_HELP)]
InputShape = Annotated[str | None, typer.Option(metavar="3x224x224", help=INPUT_HELP)]
TrustFile = Annotated[list[str] | None, typer.Option(metavar="PATH", help=TRUST_HELP)]
Mean = Annotated[str | None, typer.Option(metavar="M,...", help="Subtracted from scaled inputs, per channel or one.")]
Std = Annotated[str | None, typer.Option(metavar="S,...", help="Inputs are divided by it after that.")]
Scale = Annotated[float | None, typer.Option(metavar="X", help="Inputs are multiplied by it first.")]
GRANULARITY_HELP = "What lives or dies together: a name of `list granularities`, or 2:4. [default: fine_grained]"
BUDGET_HELP = 'Such as "accuracy_drop<=0.01", "size<=0.5", "macs<=150M".'
SELECT_HELP = 'By a selection of `list selections` and its number, such as "threshold=0.01".'
ALLOCATION_HELP = "How it is split over the layers: a name of `list allocations`. [default: uniform]"
CRITERION_HELP = "What is removed first: a name of `list criteria`. [default: l1]"
Granularity = Annotated[str, typer.Option(metavar="G", help=GRANULARITY_HELP, show_default=False)]
Criterion = Annotated[str, typer.Option(metavar="C", help=CRITERION_HELP, show_default=False)]
Scope = Literal["layer", "model"]
Heads = Literal["head", "dimension"]
Target = Literal["weights", "activations"]
METRIC_HELP = "What the table shows: accuracy, loss, perplexity, kl or agreement. [default: accuracy]"
DEVICE_HELP = "Where to compute: cpu, or cuda where torch has one; then all levels of a layer run at once."
CLUSTER_HELP = "Measure on a Dask cluster, such as tcp://10.0.0.5:8786; needs the extra `cluster`."
MULTIPLE_HELP = "Rows of channels keep a multiple of M, rounded up. [default: 1]"
NORMS_HELP = "Let layer, group and RMS norms lose channels: their statistics are of those that stay."
HEADS_HELP = "Attention loses whole heads, or the same dimensions inside all of them. [default: head]"
ALLOWED_HOST_HELP = "A name that browsers may call the server by; repeatable. [default: any; on this machine its own]"
ACCESS_TOKEN_HELP = "Asked of each visitor once; `new` makes one and prints it."
ChannelMultiple = Annotated[int, typer.Option(metavar="M", min=1, help=MULTIPLE_HELP, show_default=False)]
ThroughNorms = Annotated[bool, typer.Option("--through-norms", help=NORMS_HELP)]
HeadsOption = Annotated[Heads, typer.Option(help=HEADS_HELP, show_default=False)]
WithLatency = Annotated[bool, typer.Option("--latency", help="Measure how long one example takes, too.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--setting", metavar="NAME=VALUE", help="Of the granularity or criterion, such as n=2; repeatable."),
]
Samples = Annotated[int | None, typer.Option(metavar="N", min=1, help="Use N examples of each split; else all.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Seam = Literal["models", "data", "criteria", "granularities", "selections", "schedules", "allocations", "recoveries"]
