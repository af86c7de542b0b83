"""The command `unnorm`: list | sample | fit | cite | compare | report."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samplers.compare import Comparison
    from samplers.draws import Draws

# what takes torch is imported inside `main`, where Ctrl-C is caught

LINE = 100  # characters of a paragraph
SETTINGS = ("chains", "draws", "warmup", "thin", "iterations", "device")  # of `sample`, as `_run_options` has them
TARGET = "a benchmark name (see `unnorm list`), or FILE.py:NAME for a target of your own"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0; 1 where every run of a comparison failed; 2 with one line on stderr for bad input."""
    try:
        from samplers.draws import SamplingWarning

        options = _parser().parse_args(arguments)
        warnings.showwarning = _say
        warnings.simplefilter("always", SamplingWarning)
        status = int(options.run(options) or 0)
        sys.stdout.flush()  # where a reader that has gone away is found out
        return status
    except BrokenPipeError:  # such as `| head`, which has seen enough
        with contextlib.suppress(OSError):  # what is still to be written at exit goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyError, ValueError, TypeError, FileNotFoundError, ModuleNotFoundError, NotImplementedError) as error:
        text = str(error.args[0] if isinstance(error, KeyError) else error)
        print(f"unnorm: {' '.join(text.split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("unnorm: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    from samplers.version import __version__

    parser = argparse.ArgumentParser("unnorm", description="Samplers for densities known only up to a constant.")
    parser.add_argument("--version", action="version", version=f"unnorm {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="name all targets and samplers")
    listing.set_defaults(run=_list)

    one = commands.add_parser("sample", help="draw from one target and write a netCDF file")
    one.add_argument("target", help=TARGET)
    one.add_argument("--sampler", help="default: hmc")
    one.add_argument("--fitted", type=Path, metavar="FILE", help="a sampler that `unnorm fit` has written, instead")
    one.add_argument("--out", type=Path, required=True, metavar="FILE.nc", help="where the draws go")
    one.add_argument("--checkpoint", type=Path, metavar="FILE", help="continue from here, and save here")
    one.add_argument("--seed", type=int, default=0)
    _run_options(one)
    one.set_defaults(run=_sample)

    learned = commands.add_parser("fit", help="train a sampler on one target and write it to a file")
    learned.add_argument("target", help=TARGET)
    learned.add_argument(
        "--sampler", default="cmcd", help="one that learns, such as dds, cmcd or score-diffusion; default: cmcd"
    )
    learned.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the sampler goes")
    learned.add_argument("--iterations", type=int, help="of the optimiser; default: 2000 (score-diffusion: 4000)")
    learned.add_argument("--max-minutes", type=float, metavar="M", help="of wall time, after which training ends")
    learned.add_argument("--checkpoint", type=Path, metavar="FILE", help="continue from here, and save here")
    learned.add_argument("--seed", type=int, default=0)
    learned.add_argument("--device", help="such as cuda")
    learned.add_argument("--set", action="append", metavar="KEY=VALUE", help="a hyper-parameter, such as steps=32")
    learned.set_defaults(run=_fit)

    papers = commands.add_parser("cite", help="print BibTeX of what made the draws in a file")
    papers.add_argument("file", type=Path, metavar="FILE.nc", help="what `unnorm sample` or Draws.save wrote")
    papers.set_defaults(run=_cite)

    several = commands.add_parser("compare", help="run several samplers on several targets; a table, a page, a verdict")
    several.add_argument("targets", nargs="*", metavar="TARGET", help="benchmark names or FILE.py:NAME")
    several.add_argument("--suite", help="a named comparison instead of targets: quick, standard, bayes or spins")
    several.add_argument("--samplers", help="names joined by commas; default: ula,mala,hmc")
    several.add_argument("--peers", action="store_true", help="with --suite: samplers of other packages take part")
    several.add_argument("--seeds", type=int, default=1, help="runs of each cell")
    several.add_argument("--truth", action="store_true", help="in one or two dimensions, find the truth by quadrature")
    several.add_argument("--reference", action="store_true", help="where no truth is known, take a long HMC run for it")
    several.add_argument("--max-evaluations", type=int, metavar="N", help="what one run may use of the target")
    several.add_argument("--max-seconds", type=float, metavar="S", help="what one run may take")
    several.add_argument("--timeout", type=float, metavar="S", help="seconds after which a run is ended")
    several.add_argument("--workers", type=int, default=1, help="runs at a time; default: 1, so that seconds compare")
    several.add_argument("--retry", action="store_true", help="run again what failed before")
    several.add_argument("--fresh", action="store_true", help="run anew what the folder holds of another run")
    several.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results and the page go")
    _columns_option(several)
    _run_options(several)
    several.set_defaults(run=_compare)

    page = commands.add_parser("report", help="make the page of a comparison again from its results")
    page.add_argument("folder", type=Path, metavar="DIR", help="what --out was")
    _columns_option(page)
    page.set_defaults(run=_report)
    return parser


def _columns_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--columns",
        choices=("main", "all"),
        default="main",
        help="of the table: main, which fits the terminal (default), or all, in lines as long as that takes",
    )


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chains", type=int, help="default: 64")
    parser.add_argument("--draws", type=int, help="draws of each chain, or particles; default: 1000")
    parser.add_argument("--warmup", type=int, help="default: 500")
    parser.add_argument("--thin", type=int, help="default: 1")
    parser.add_argument("--iterations", type=int, help="of a particle method; default: 1000")
    parser.add_argument("--device", help="such as cuda")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help="a hyper-parameter, such as step_size=0.1")


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the options that stand in the command."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _list(options: argparse.Namespace) -> None:
    from samplers.registry import descriptions

    for kind, name, text in descriptions():
        print(f"{kind:8} {name:26} {text}")


def _sample(options: argparse.Namespace) -> None:
    from samplers.draws.signature import taken_by
    from samplers.registry import load_target, sampler

    _check_out(options.out)
    if options.fitted is not None:
        draws = _from_fitted(options)
    else:
        kernel, target = sampler(options.sampler or "hmc", options.set), load_target(options.target)
        taken, settings = taken_by(kernel), _given(options, *SETTINGS)
        for name in settings:
            if name not in taken:
                raise ValueError(f"--{name}: {options.sampler or 'hmc'} does not take it, expected it to be left out")
        draws = kernel.sample(target, seed=options.seed, checkpoint=options.checkpoint, **settings)
    table, certificate = draws.summary(), draws.certificate
    draws.save(options.out)
    print(f"{table.in_lines()}\n\n{textwrap.fill(str(certificate), LINE)}")
    print(f"\n{draws.cost.score:,} scores in {draws.cost.seconds:.1f} s; draws in {options.out}")


def _from_fitted(options: argparse.Namespace) -> Draws:
    """Draws of a learned sampler in a file; ValueError for what only a run without one takes."""
    from samplers.registry import draw_from_file, load_target

    others = [name for name in SETTINGS if name not in ("draws", "device")]
    if given := _given(options, *others, "sampler", "set", "checkpoint"):
        named = ", ".join(f"--{name}" for name in given)
        raise ValueError(
            f"--fitted: the sampler in a file is trained, and takes --draws, --seed and --device; got {named}"
        )
    if not options.fitted.is_file():
        raise FileNotFoundError(f"--fitted: {options.fitted} does not exist; expected a file that `unnorm fit` wrote")
    target = load_target(options.target).to(options.device)
    return draw_from_file(options.fitted, target, seed=options.seed, **_given(options, "draws"))


def _fit(options: argparse.Namespace) -> None:
    from samplers.diffusion.fitted import Fitted
    from samplers.registry import learned_sampler, load_target

    _check_out(options.out)
    method, target = learned_sampler(options.sampler, options.set), load_target(options.target)
    settings = _given(options, "iterations", "max_minutes", "checkpoint", "device")
    fitted = method.fit(target, seed=options.seed, **settings)
    fitted.save(options.out)
    print(fitted.evaluation or fitted.evaluate() if isinstance(fitted, Fitted) else fitted)
    exact = f"; exactly known: log Z {target.log_z:.4f}" if "log_z" in target.known else ""
    print(f"{fitted.iterations} iterations, {fitted.cost.score:,} scores in {fitted.cost.seconds:.1f} s{exact}")
    draw = f"unnorm sample {options.target} --fitted {options.out} --out FILE.nc"
    print(f"\nthe sampler is in {options.out}; `{draw}` draws from it")


def _cite(options: argparse.Namespace) -> None:
    from samplers.draws import Draws

    print(Draws.load(options.file).cite(), end="")


def _check_out(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise ValueError(f"--out: the folder of {path} does not exist")
    if path.is_dir():
        raise ValueError(f"--out: {path} is a folder, expected a file")


def _compare(options: argparse.Namespace) -> int:
    from samplers.compare import compare, run_suite
    from samplers.registry import load_target, sampler

    grid = {"folder": options.out, **_given(options, "seeds", "timeout", "workers", "retry", "fresh")}
    if options.suite is not None:
        _only_a_suite(options)
        result = run_suite(options.suite, peers=options.peers, **grid)
    else:
        if not options.targets:
            raise ValueError("targets: got none, expected benchmark names or FILE.py:NAME, or --suite NAME")
        found = {}
        for text in options.targets:
            target = load_target(text)
            if target.name in found:
                raise ValueError(f"targets: two are named {target.name!r}; give them different names")
            found[target.name] = target
        if options.peers:
            raise ValueError("--peers: goes with --suite; name peers in --samplers, such as --samplers hmc,emcee")
        names = (options.samplers or "ula,mala,hmc").split(",")
        if len(set(names)) < len(names):
            raise ValueError(f"--samplers: got {options.samplers}, expected different names")
        result = compare(
            found,
            {name: sampler(name, options.set) for name in names},
            truth=options.truth,
            reference=options.reference,
            max_evaluations=options.max_evaluations,
            max_seconds=options.max_seconds,
            **grid,
            **_given(options, *SETTINGS),
        )
    _show(result, options.out, options.columns, f"; the draws are in {options.out / 'cells'}")
    return int(all(row["error"] for row in result.rows))


def _only_a_suite(options: argparse.Namespace) -> None:
    """ValueError for what a suite brings with it."""
    given = _given(options, *SETTINGS, "samplers", "set", "max_evaluations", "max_seconds")
    flags = [f"--{name}" for name in ("truth", "reference") if getattr(options, name)]
    if options.targets or flags or given:
        named = [*options.targets, *flags, *(f"--{name}" for name in given)]
        raise ValueError(f"--suite: a suite has targets, samplers and options of its own; got {', '.join(named)} too")


def _report(options: argparse.Namespace) -> None:
    from samplers.compare import Comparison

    _show(Comparison.load(options.folder), options.folder, options.columns)


def _show(result: Comparison, folder: Path, columns: str, more: str = "") -> None:
    result.report(folder)
    print(result.text(width=None) if columns == "all" else result)
    print(f"\n{folder / 'index.html'} is the page{more}")


def _say(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """In the place of `warnings.showwarning`: where a warning comes from says nothing to a user of the command."""
    from samplers.draws import SamplingWarning

    if issubclass(category, SamplingWarning):
        print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
