"""Figures of the literature on the targets of the suites, each with its variant and source.

Only figures for exactly these targets, from the papers' own tables, notebooks or saved results.
"""

from __future__ import annotations

from samplers.compare.published import Published

FAB = "fab-jax README: mean over 10 batches of 2,000 samples, 5 seeds"
DDS_RESULTS = "Vargas et al. 2023, saved results, 30 seeds"
CMCD_NOTEBOOK = "Vargas et al. 2024, plotting notebook"
SENDERA = "Sendera et al. 2024, table 1"

SONAR, IONOSPHERE = (-108.39, 0.04), (-111.63, 0.02)  # log Z of long runs, and its standard error

PUBLISHED = (
    Published("gmm9", "log_z_error", 0.0027, "FAB", "flow and SMC", FAB),
    Published("funnel10-std3", "log_z_error", 0.0022, "FAB", "flow and SMC", FAB),
    Published("funnel10-std3", "log_z_bias", 0.0193, "CMCD", "256 steps", CMCD_NOTEBOOK),
    Published("funnel10-std3", "elbo", -0.230, "CMCD", "256 steps", CMCD_NOTEBOOK),
    Published("funnel10-std3", "log_z_bias", 0.176, "DDS", "512 steps", DDS_RESULTS),
    Published("many-well32-fab", "log_z_error", 0.0316, "FAB", "flow and SMC", FAB),
    Published("many-well32-fab", "log_z_error", 0.02, "GFlowNet", "VarGrad, Langevin, local search", SENDERA),
    Published("many-well32-fab", "log_z_error", 0.23, "DDS", "reweighted", SENDERA),
    Published("two-modes-d32", "mode_error", 0.09, "RDSMC", "n = 4096, 5 seeds", "RDSMC paper, bimodal mixture"),
    Published("gmm40-fab", "mmd", 4.3e-4, "DiGS", "10 chains of 1,000; kernel and floor differ", "DiGS notebooks"),
    Published("sonar", "log_z_bias", 0.50, "DDS", "256 steps", DDS_RESULTS, *SONAR),
    Published("sonar", "log_z_bias", 0.018, "SMC", "256 temperatures", CMCD_NOTEBOOK, *SONAR),
    Published("sonar", "elbo", -108.904, "CMCD, second order", "256 steps", CMCD_NOTEBOOK),
    Published("ionosphere", "log_z_bias", 0.048, "DDS", "512 steps", DDS_RESULTS, *IONOSPHERE),
    Published("ionosphere", "log_z_bias", 0.001, "SMC", "256 temperatures", CMCD_NOTEBOOK, *IONOSPHERE),
    Published("ionosphere", "elbo", -111.814, "CMCD, second order", "256 steps", CMCD_NOTEBOOK),
)
