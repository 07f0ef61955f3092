"""What every other room stands on: options, errors, events, results, registries, files and the machine."""
