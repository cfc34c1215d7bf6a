"""The command `pruning-explorer`: a thin layer of options over the library; what each command does is in `commands/`.

Standard output holds the answer (with `--json` one document and nothing else), standard error all else. Exit codes:
0 done, 2 a request that cannot be met (one sentence with its code), 130 interrupted. Heavy imports wait for their use.
"""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from explorer.options import (
    ACCESS_TOKEN_HELP,
    ALLOCATION_HELP,
    ALLOWED_HOST_HELP,
    BUDGET_HELP,
    CLUSTER_HELP,
    CRITERION_HELP,
    DEVICE_HELP,
    GRANULARITY_HELP,
    HEADS_HELP,
    METRIC_HELP,
    MULTIPLE_HELP,
    NORMS_HELP,
    SELECT_HELP,
    AcceptKey,
    Architecture,
    ChannelMultiple,
    ChannelOrder,
    Criterion,
    DataName,
    Granularity,
    Heads,
    HeadsOption,
    InputShape,
    Json,
    Mean,
    ModelName,
    Preset,
    Resize,
    Samples,
    Scale,
    Scope,
    Seam,
    Settings,
    Std,
    Target,
    TargetColumn,
    ThroughNorms,
    TrustFile,
    WithLatency,
)

PROGRAM = "pruning-explorer"
USAGE = "E100"  # code of an option that cannot be understood: that of PruningError
REFUSED, INTERRUPTED = 2, 130


class Commands(TyperGroup):
    """The commands; `run` is meant when the first word is none of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` in front when no command is named."""
        first = args[0] if args else ""
        if first not in self.commands and first not in ("--help", "-h"):
            if meant := get_close_matches(first, self.commands, n=1, cutoff=0.75):
                raise typer.TyperException(f"unknown command '{first}'; did you mean '{meant[0]}'?")
            args = ["run", *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    cls=Commands,
    help="See what each layer of a neural network can lose, measured. Without a command it opens the app.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def run(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Opened at start.")] = None,
    data: DataName = None,
    architecture: Architecture = None,
    accept_key: AcceptKey = None,
    input_shape: InputShape = None,
    trust_file: TrustFile = None,
    target_column: TargetColumn = None,
    preset: Preset = None,
    resize: Resize = None,
    channel_order: ChannelOrder = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Sweeps that run at a time, a process each.")] = 1,
    allowed_host: Annotated[list[str] | None, typer.Option(metavar="NAME", help=ALLOWED_HOST_HELP)] = None,
    access_token: Annotated[str | None, typer.Option(metavar="TOKEN", help=ACCESS_TOKEN_HELP)] = None,
) -> None:
    """Start the app (the command when none is named)."""
    from explorer.commands import start
    from explorer.commands.asked import data_spec, model_spec

    hosting = start.Hosting(host, port, tuple(allowed_host or ()), access_token or "")
    model = model_spec(model, architecture, accept_key, input_shape, trust_file) or None
    data = data_spec(data, target_column, preset, resize, channel_order)
    start.run(model, data, hosting, open_browser=not no_browser, workers=workers)


@app.command()
def inspect(
    model: ModelName,
    architecture: Architecture = None,
    accept_key: AcceptKey = None,
    input_shape: InputShape = None,
    trust_file: TrustFile = None,
    through_norms: ThroughNorms = False,
    heads: HeadsOption = "head",
    as_json: Json = False,
) -> None:
    """Show the layers, their size and cost, and what can be pruned how."""
    from explorer.commands import inspect as command
    from explorer.commands.asked import model_spec

    model = model_spec(model, architecture, accept_key, input_shape, trust_file)
    command.run(model, {"through_norms": through_norms, "heads": heads}, as_json)


@app.command()
def sensitivity(
    model: ModelName,
    data: DataName = None,
    granularity: Granularity = "fine_grained",
    criterion: Criterion = "l1",
    setting: Settings = None,
    levels: Annotated[str | None, typer.Option(metavar="0.1,0.2,...", help="Sparsities to measure.")] = None,
    samples: Annotated[int | None, typer.Option(metavar="N", min=1, help="Examples. [default: all]")] = None,
    layers: Annotated[str | None, typer.Option(metavar="REGEX", help="Layers whose name this matches.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Measure every cell on all examples.")] = False,
    metric: Annotated[str, typer.Option(metavar="M", help=METRIC_HELP, show_default=False)] = "accuracy",
    target: Annotated[Target, typer.Option(help="What is set to zero.")] = "weights",
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Processes that measure.")] = 1,
    cluster: Annotated[str | None, typer.Option(metavar="ADDRESS", help=CLUSTER_HELP)] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help=DEVICE_HELP)] = "cpu",
    fresh: Annotated[bool, typer.Option("--fresh", help="Neither use nor keep what was measured before.")] = False,
    channel_multiple: ChannelMultiple = 1,
    through_norms: ThroughNorms = False,
    heads: HeadsOption = "head",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the sweep to this file too.")] = None,
    mean: Mean = None,
    std: Std = None,
    scale: Scale = None,
    target_column: TargetColumn = None,
    preset: Preset = None,
    resize: Resize = None,
    channel_order: ChannelOrder = None,
    architecture: Architecture = None,
    accept_key: AcceptKey = None,
    input_shape: InputShape = None,
    trust_file: TrustFile = None,
    as_json: Json = False,
) -> None:
    """Measure what the model loses when one layer alone is pruned, for each layer and level."""
    from explorer.commands import sensitivity as command
    from explorer.commands.asked import Inputs, data_spec, model_spec, wish

    model = model_spec(model, architecture, accept_key, input_shape, trust_file)
    data = data_spec(data, target_column, preset, resize, channel_order)
    inputs = Inputs(model, data, mean, std, scale, samples)
    options = {"channel_multiple": channel_multiple, "through_norms": through_norms, "heads": heads}
    asked = command.Asked(levels, layers, exact, metric, target, fresh, workers, cluster, device, options)
    command.run(inputs, wish(granularity, criterion, setting), asked, out, as_json)


@app.command()
def prune(
    model: ModelName,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.")],
    plan: Annotated[Path | None, typer.Option(metavar="FILE", help="A plan file.")] = None,
    sparsity: Annotated[float | None, typer.Option(metavar="S", help="Fraction to remove, 0 to 1.")] = None,
    budget: Annotated[str | None, typer.Option(metavar="TEXT", help=BUDGET_HELP)] = None,
    select: Annotated[str | None, typer.Option(metavar="NAME=NUMBER", help=SELECT_HELP)] = None,
    allocation: Annotated[str | None, typer.Option(metavar="A", help=ALLOCATION_HELP)] = None,
    granularity: Annotated[str | None, typer.Option(metavar="G", help=GRANULARITY_HELP)] = None,
    criterion: Annotated[str | None, typer.Option(metavar="C", help=CRITERION_HELP)] = None,
    scope: Annotated[Scope | None, typer.Option(help="Weights compete within each layer, or in all the model.")] = None,
    setting: Settings = None,
    channel_multiple: Annotated[int | None, typer.Option(metavar="M", min=1, help=MULTIPLE_HELP)] = None,
    through_norms: Annotated[bool, typer.Option("--through-norms", help=NORMS_HELP)] = False,
    heads: Annotated[Heads | None, typer.Option(help=HEADS_HELP)] = None,
    data: DataName = None,
    latency: WithLatency = False,
    samples: Samples = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    mean: Mean = None,
    std: Std = None,
    scale: Scale = None,
    target_column: TargetColumn = None,
    preset: Preset = None,
    resize: Resize = None,
    channel_order: ChannelOrder = None,
    architecture: Architecture = None,
    accept_key: AcceptKey = None,
    input_shape: InputShape = None,
    trust_file: TrustFile = None,
    as_json: Json = False,
) -> None:
    """Prune a model by a plan, one sparsity, a threshold or a budget; write the pruned model with its report."""
    from explorer.commands import prune as command
    from explorer.commands.asked import Inputs, data_spec, model_spec

    model = model_spec(model, architecture, accept_key, input_shape, trust_file)
    how = (granularity, criterion, setting, scope, allocation, channel_multiple, through_norms, heads)
    asked = command.Asked(plan, sparsity, budget, *how, select=select)
    data = data_spec(data, target_column, preset, resize, channel_order)
    command.run(Inputs(model, data, mean, std, scale, samples), asked, out, force, as_json, latency)


@app.command()
def measure(
    model: ModelName,
    data: DataName = None,
    latency: WithLatency = False,
    samples: Samples = None,
    mean: Mean = None,
    std: Std = None,
    scale: Scale = None,
    target_column: TargetColumn = None,
    preset: Preset = None,
    resize: Resize = None,
    channel_order: ChannelOrder = None,
    architecture: Architecture = None,
    accept_key: AcceptKey = None,
    input_shape: InputShape = None,
    trust_file: TrustFile = None,
    as_json: Json = False,
) -> None:
    """Measure a model as it is: accuracy with its interval, size, MACs, and latency when asked for."""
    from explorer.commands import measure as command
    from explorer.commands.asked import Inputs, data_spec, model_spec

    model = model_spec(model, architecture, accept_key, input_shape, trust_file)
    data = data_spec(data, target_column, preset, resize, channel_order)
    command.run(Inputs(model, data, mean, std, scale, samples), latency, as_json)


@app.command("list")
def list_members(
    what: Annotated[Seam, typer.Argument(metavar="SEAM", help="models, data, criteria, granularities, ...")],
    everything: Annotated[bool, typer.Option("--all", help="Name every model that torchvision has.")] = False,
    as_json: Json = False,
) -> None:
    """List what there is to choose from."""
    from explorer.commands import members

    members.run(what, everything, as_json)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code; bad input never ends in a traceback."""
    sys.exit(answer(args))


def answer(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        return app(args, prog_name=PROGRAM, standalone_mode=False) or 0
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except typer.TyperException as error:
        return refuse(
            USAGE, error.format_message().replace("Value error, ", "").replace("Input should be", "it should be")
        )
    except BrokenPipeError:  # whoever read our answer has left: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from pruning_core.errors import PruningError

        if not isinstance(error, PruningError):
            raise
        return refuse(error.code, str(error))


def refuse(code: str, reason: str) -> int:
    """Say in one sentence on standard error why the request cannot be met; return the exit code."""
    print(f"{PROGRAM}: {code}: {' '.join(reason.split())}", file=sys.stderr)
    return REFUSED
