"""The one list of public names, by the module that each is imported from when it is first used.

`samplers.__all__`, its lazy attributes and the command's names of samplers (`samplers.registry`) follow from it; the
imports in `samplers/__init__.py`, which only type checkers see, are held equal to it by a test.
"""

PLACES = {
    "samplers.annealing": "AIS AnnealedLangevin ParallelTempering SMC",
    "samplers.compare": "Comparison compare",
    "samplers.diffusion": "CMCD DDS DIS MCD PIS SCLD load",
    "samplers.draws": "Cost Draws LogZ SamplingWarning",
    "samplers.draws.certificate": "Certificate",
    "samplers.kernels": "DiscreteLangevin Gibbs GibbsWithGradients HMC Kernel MALA RandomWalkMetropolis "
    "RiemannianLangevin State SwendsenWang ULA UnderdampedLangevin Wolff",
    "samplers.particles": "Blob GFSD GFSF SVGD",
    "samplers.smoothing": "DiffusiveGibbs JointMultimeasurement SLIPS SequentialMultimeasurement WalkJump",
    "samplers.version": "__version__",
}
