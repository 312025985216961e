"""VideoBERT and BERT's text recipes: graphs of stages joined by directories.

  videobert list                              workflows and stages, a line each
  videobert plan WORKFLOW [ARGS]              each node: done or to do, and its path
  videobert run WORKFLOW [ARGS]               make what is not there yet; running again continues
  videobert stage STAGE [FIELDS] --inputs NAME=DIR ... --out DIR
                                              one stage alone, outside any workflow
  videobert show DIR ...                      what an artifact holds, and where it came from
  videobert predict MODEL_DIR INPUT [--out FILE]
                                              a trained model on new rows

COMMAND --help says more; run WORKFLOW --help and stage STAGE --help list their arguments with types, defaults
and units. Exit status: 0 done, 1 a stage failed, 2 a wrong command or a missing file, 130 interrupted.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from jsonargparse import Namespace

from pipeline import catalogue
from pipeline.arguments import Parser, Words
from pipeline.assignment import assign
from pipeline.errors import StageFailed, UserError, unknown
from pipeline.executor_options import add_executor_options, chosen_executor
from pipeline.graph import Graph, plan, run
from pipeline.listing import list_entries, list_nodes
from pipeline.show import show
from pipeline.single import make_single, prepare
from pipeline.stage import Stage
from pipeline.store import Artifact, Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    _see_this_directory()
    try:
        if command in ("-h", "--help", "help"):
            print(__doc__.strip())
        elif command not in COMMANDS:
            raise unknown("command", command, COMMANDS)
        else:
            COMMANDS[command](rest)
    except UserError as error:
        return _fail(f"error: {error}", 2)
    except StageFailed as error:
        return _fail(f"failed: {error}", 1)
    except KeyboardInterrupt:
        resumed = "; the same command continues where it stopped" if command in RESUMED else ""
        return _fail(f"interrupted{resumed}", 130)
    return 0


def _fail(message: str, status: int) -> int:
    print(f"videobert: {' '.join(message.split())}", file=sys.stderr)
    return status


def _see_this_directory() -> None:
    """Let the console script find stages and workflows in a checkout, as ``python -m`` does.

    Only where there are any: some other ``models/`` of the user must not hide ours.
    """
    here = Path.cwd()
    ours = any((here / package / "__init__.py").is_file() for package in ("stages", "workflows"))
    if ours and str(here) not in sys.path:
        sys.path.insert(0, str(here))


def list_all(arguments: Sequence[str]) -> None:
    """Print every workflow and stage with the first line of its docstring."""
    Parser(prog="videobert list", description="Workflows and stages, a line each.").read(arguments)
    list_entries({"workflows": catalogue.workflows(), "stages": catalogue.stages()})


def plan_workflow(arguments: Sequence[str]) -> None:
    """Print each node of a workflow: done or to do, and where."""
    module, parser = _workflow_parser("plan", arguments)
    given = parser.read(arguments[1:])
    graph = _graph(module, given)
    artifacts = plan(graph, Store(given.store))
    list_nodes(graph, {name: artifacts[name] for name in (graph.ancestors(given.only) if given.only else graph)})


def run_workflow(arguments: Sequence[str]) -> None:
    """Run a workflow, or what of it is not done yet, and print its report."""
    module, parser = _workflow_parser("run", arguments)
    add_executor_options(parser)
    given = parser.read(arguments[1:])
    graph, store = _graph(module, given), Store(given.store)
    with chosen_executor(given) as executor:
        artifacts = run(graph, store, executor, given.only)
    report: Callable[[Mapping[str, Artifact]], None] | None = getattr(module, "report", None)
    if report is not None and len(artifacts) == len(graph):
        report(artifacts)


def run_stage(arguments: Sequence[str]) -> None:
    """Run one stage on artifacts anywhere, into a directory of the user's choice."""
    stage_class = catalogue.load_stage(_name("stage", arguments))
    parser = Parser(
        prog=f"videobert stage {stage_class.__name__}",
        usage=f"%(prog)s [FIELDS] {'--inputs NAME=DIR ... ' if stage_class.reads else ''}--out DIR [OPTIONS]",
        description=inspect.getdoc(stage_class),
    )
    parser.add_argument("--config", action="config", metavar="FILE", help="A YAML file with any of what follows.")
    parser.add_signature("fields", stage_class)
    group = parser.add_argument_group("options")
    reads = {n: f"{n}{' (optional)' if n in stage_class.optional else ''}" for n in stage_class.reads}
    named = ", ".join(reads.values()) or "this stage has none"
    more = "" if stage_class.needs is Stage.needs else ", and those that its fields ask for"
    group.add_argument(
        "--inputs",
        action=Words,
        nargs="+",
        default=[],
        metavar="NAME=DIR",
        help=f"The artifact for each input: {named}{more}.",
    )
    group.add_argument("--out", type=str, required=True, metavar="DIR", help="Where the artifact is made.")
    add_executor_options(parser)
    given = parser.read(arguments[1:])
    stage = stage_class(**{name: given[name] for name in inspect.signature(stage_class).parameters})
    inputs, artifact = prepare(stage, _pairs(given.inputs), Path(given.out))
    with chosen_executor(given) as executor:
        make_single(stage, inputs, artifact, executor)


def show_artifact(arguments: Sequence[str]) -> None:
    """Print what artifacts hold and where they came from."""
    parser = Parser(prog="videobert show", description="What an artifact holds, and where it came from.")
    parser.add_argument("dirs", metavar="DIR", nargs="+", help="The directory of a finished artifact.")
    for directory in parser.read(arguments).dirs:
        show(Path(directory))


def predict(arguments: Sequence[str]) -> None:
    """Run a trained model on a file of new rows."""
    parser = Parser(prog="videobert predict", description="A trained model on new rows.")
    parser.add_argument("model_dir", metavar="MODEL_DIR", help="What a Train stage made.")
    parser.add_argument("input", metavar="INPUT", help="A file of rows, as the model's task reads them.")
    parser.add_argument("--out", metavar="FILE", help="Where the answers go; without it they are printed.")
    given = parser.read(arguments)
    model_dir, rows, out = Path(given.model_dir), Path(given.input), Path(given.out) if given.out else None
    if not model_dir.is_dir():
        raise UserError(f"{model_dir}: no such directory")
    if not rows.is_file():
        raise UserError(f"{rows}: no such file")
    if out and not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: no such directory as {out.absolute().parent}")
    importlib.import_module("stages.predict").predict_file(model_dir, rows, out)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "list": list_all,
    "plan": plan_workflow,
    "run": run_workflow,
    "stage": run_stage,
    "show": show_artifact,
    "predict": predict,
}
RESUMED = ("run", "stage")
"""The commands that, given again, go on from what an interrupted one left."""


def _name(command: str, arguments: Sequence[str]) -> str:
    """The stage's or workflow's name, which comes first since it decides what else there is."""
    what = "STAGE" if command == "stage" else "WORKFLOW"
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: videobert {command} {what} ...\n\n{inspect.getdoc(COMMANDS[command])}\n")
        print(f"videobert {command} {what} --help lists the arguments of that {what.lower()}; there are:\n")
        list_entries({f"{what.lower()}s": catalogue.stages() if command == "stage" else catalogue.workflows()})
        sys.exit(0)
    if not arguments or arguments[0].startswith("-"):
        raise UserError(f"{command}: the name of a {what.lower()} comes first (videobert list shows them)")
    return arguments[0]


def _workflow_parser(command: str, arguments: Sequence[str]) -> tuple[ModuleType, Parser]:
    name = _name(command, arguments)
    module = catalogue.load_workflow(name)
    parser = Parser(
        prog=f"videobert {command} {name}", usage="%(prog)s [ARGS] [OPTIONS]", description=inspect.getdoc(module)
    )
    parser.add_argument("--config", action="config", metavar="FILE", help="A YAML file with any of what follows.")
    parser.add_signature("arguments", module.graph)
    group = parser.add_argument_group("options")
    group.add_argument("--store", type=str, default="store", metavar="DIR", help="The directory of all artifacts.")
    group.add_argument(
        "--only", action=Words, nargs="+", default=[], metavar="NODE", help="These nodes and what they need."
    )
    group.add_argument(
        "--set",
        action=Words,
        nargs="+",
        default=[],
        metavar="NODE.FIELD=VALUE",
        help="Change a field of one node's stage, NODE.FIELD.FIELD=VALUE of what it holds. May be repeated.",
    )
    return module, parser


def _graph(module: ModuleType, given: Namespace) -> Graph:
    try:
        graph: Graph = module.graph(**{name: given[name] for name in inspect.signature(module.graph).parameters})
    except ValueError as error:
        raise UserError(str(error)) from error
    for assignment in given.set:
        assign(graph, assignment)
    graph.ancestors(given.only)
    return graph


def _pairs(assignments: Sequence[str]) -> dict[str, str]:
    """``NAME=DIR`` words as a mapping."""
    pairs: dict[str, str] = {}
    for assignment in assignments:
        name, equals, directory = assignment.partition("=")
        if not (name and equals and directory):
            raise UserError(f"--inputs {assignment}: expected NAME=DIR")
        if name in pairs:
            raise UserError(f"--inputs {assignment}: '{name}' is given twice")
        pairs[name] = directory
    return pairs
