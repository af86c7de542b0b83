"""How networks and mixtures are trained: the optimiser's steps, the fall of its rate, a run, several devices."""
