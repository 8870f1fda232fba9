"""How far conclusions depend on priors, data and parameters, without fitting again."""
