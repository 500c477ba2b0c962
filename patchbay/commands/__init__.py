"""The commands of `patchbay`, one a module; see `patchbay.cli`."""
