"""Flow and transit time: deconvolution, the Bayesian vascular model, and the choice between them."""
