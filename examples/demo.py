"""The demonstration of `make demo`: the suite `quick`, its table, its verdicts, and the page `demo/index.html`.

Four targets with their truth: a hierarchical model, a regression in 61 dimensions, a funnel, nine modes. Read the
verdicts: ULA agrees with itself and is off; on nine modes no chain of HMC crosses, and R-hat says so; tempering, SMC
and a diffusion sampler trained from the energy alone find the weights of the modes, and log Z. `unnorm report demo`
makes the page again.
"""

import sys

import samplers.compare


def main(folder):
    result = samplers.compare.run_suite("quick", folder=folder, workers=2, timeout=240)
    result.report(folder)
    print(result)
    print(f"\nThe certificate of one of the runs:\n{result.draws['gmm9', 'SMC', 0].certificate}")
    print(f"\n{folder}/index.html is the page; table.csv, figures and the draws of every cell are beside it")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo")
