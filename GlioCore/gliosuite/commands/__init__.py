"""The commands of the command line, one file per family; each has ``register(add)`` and turns options into calls of the library."""
